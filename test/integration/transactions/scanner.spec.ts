import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import pg from 'pg';

import { transactionControls, type TransactionControl } from '../../../src/client/transactions/transaction-control.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';

/**
 * Commands that the server reports for each kind. A rollback to a savepoint reports `ROLLBACK` as
 * well.
 */
const COMMANDS: Record<TransactionControl['kind'], readonly string[]> = {
  savepoint: ['SAVEPOINT'],
  release: ['RELEASE'],
  rollbackTo: ['ROLLBACK'],
  commit: ['COMMIT', 'ROLLBACK'],
  rollback: ['ROLLBACK'],
  prepare: ['PREPARE'],
  begin: ['BEGIN', 'START'],
};
/**
 * Commands to compare. PREPARE is left out: a server without `max_prepared_transactions` prepares
 * only statements.
 */
const CONTROLS = new Set(
  Object.values(COMMANDS)
    .flat()
    .filter((command) => command !== 'PREPARE'),
);

const sign = fc.constantFrom(
  "'",
  '"',
  '$',
  '$$',
  '$a$',
  '$A$',
  '/*',
  '*/',
  '--',
  '\n',
  '\r',
  '\\',
  ';',
  '(',
  ')',
  'E',
  'x',
  '1',
  ' COMMIT ',
  ' END ',
  ' ',
);
const inside = fc.array(sign, { maxLength: 8 }).map((parts) => parts.join(''));

/** Literals of every form, with signs that would divide statements outside a literal. */
const literal = fc.oneof(
  inside.map((text) => `'${text.replaceAll("'", "''")}'`),
  inside.map((text) => `E'${text.replaceAll(/['\\]/g, (found) => `\\${found}`)}'`),
  inside.map((text) => `E'a' -- ;\n'${text.replaceAll(/['\\]/g, (found) => `\\${found}`)}'`),
  inside.map((text) => `U&'${text.replaceAll("'", "''").replaceAll('\\', '\\\\')}'`),
  inside.filter((text) => !/\$\$|\$$/.test(text)).map((text) => `$$${text}$$`),
  inside.filter((text) => !/\$t\$/.test(text)).map((text) => `$t$${text}$t$`),
);
const space = fc.oneof(
  fc.constantFrom(' ', '\n', '\t\r'),
  inside.map((text) => ` --${text.replaceAll(/[\n\r]/g, '')}\n`),
  inside.map((text) => ` /*${text.replaceAll(/\/\*|\*\//g, '')} /* nested ; */ */ `),
);
const name = fc.constantFrom('a', 'B', '"c; COMMIT"', '"d ""e"""', 'ä$b$');
const statement = fc.oneof(
  fc.tuple(space, literal, space).map(([before, text, after]) => `${before}SELECT${before}${text} AS "x;"""${after}`),
  fc.tuple(space, name).map(([between, savepoint]) => `SAVEPOINT${between}${savepoint}; RELEASE${between}SAVEPOINT ${savepoint}`),
  fc.tuple(space, name).map(([between, savepoint]) => `savepoint ${savepoint}; ROLLBACK${between}WORK TO ${savepoint}`),
  fc
    .tuple(
      space,
      fc.constantFrom(
        'COMMIT',
        'End',
        'ROLLBACK',
        'abort',
        'COMMIT WORK',
        'ROLLBACK AND CHAIN',
        'COMMIT TRANSACTION AND NO CHAIN',
        'BEGIN',
        'START TRANSACTION READ ONLY',
        'DO $do$ BEGIN PERFORM 1; END $do$',
        'SELECT CASE WHEN true THEN 1 END',
        'PREPARE TRANSACTION_ AS SELECT 1; DEALLOCATE TRANSACTION_',
        'SELECT 1 AS a$b$',
      ),
    )
    .map(([between, text]) => `${between}${text}${between}`),
);

describe('transactionControls', () => {
  let database: TestDatabase;
  let client: pg.Client;

  beforeAll(async () => {
    database = await createTestDatabase();
    client = new pg.Client({ connectionString: database.url });
    client.on('error', () => undefined);
    await client.connect();
  });

  afterAll(async () => {
    await client.end();
    await database.drop();
  });

  /**
   * Commands that control a transaction, as the server executed them; undefined when it refuses the
   * text.
   */
  const executed = async (text: string): Promise<string[] | undefined> => {
    await client.query('BEGIN');
    try {
      // Several statements give several results; pg's types have only one.
      const results: unknown = await client.query(text);
      return [results]
        .flat()
        .map((result) => (result as pg.QueryResult).command)
        .filter((command) => CONTROLS.has(command));
    } catch {
      return undefined;
    } finally {
      await client.query('ROLLBACK');
    }
  };

  const isSame = (controls: readonly TransactionControl[], commands: readonly string[]): boolean =>
    controls.length === commands.length && controls.every(({ kind }, index) => COMMANDS[kind].includes(commands[index]!));

  it('finds the commands that the server executes, whatever literals and comments contain', async () => {
    let accepted = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(statement, { minLength: 1, maxLength: 5 }), async (statements) => {
        const text = statements.join(';');
        const commands = await executed(text);
        if (!commands) return;
        accepted++;
        expect([text, transactionControls(text), isSame(transactionControls(text), commands)]).toEqual([text, expect.anything(), true]);
      }),
      { numRuns: 500 },
    );
    expect(accepted).toBeGreaterThan(350);
  });

  it('finds the commands that the server executes in random text that the server accepts', async () => {
    let accepted = 0;
    const part = fc.oneof(
      { weight: 3, arbitrary: sign },
      { weight: 2, arbitrary: fc.constantFrom("SELECT '", "'; SELECT 1", "SELECT E'", 'SELECT 1') },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(part, { maxLength: 12 }), async (parts) => {
        const text = parts.join('');
        const commands = await executed(text);
        if (!commands) return;
        accepted++;
        expect([text, isSame(transactionControls(text), commands)]).toEqual([text, true]);
      }),
      { numRuns: 3000 },
    );
    expect(accepted).toBeGreaterThan(50);
  });
});
