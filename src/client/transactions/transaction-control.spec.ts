import { describe, expect, it } from '@jest/globals';

import { transactionControls } from './transaction-control.js';

describe('transactionControls', () => {
  it.each([
    ['COMMIT', [{ kind: 'commit', chain: false }]],
    ['  end work ;', [{ kind: 'commit', chain: false }]],
    ['commit and chain', [{ kind: 'commit', chain: true }]],
    ['/* all of it */ Rollback\n  Transaction -- now', [{ kind: 'rollback', chain: false }]],
    ['ABORT AND NO CHAIN', [{ kind: 'rollback', chain: false }]],
    ["PREPARE TRANSACTION 'one'", [{ kind: 'prepare', chain: false }]],
    ['START TRANSACTION ISOLATION LEVEL SERIALIZABLE', [{ kind: 'begin' }]],
    ['savepoint A', [{ kind: 'savepoint', name: 'a' }]],
    ['SAVEPOINT "A; b"', [{ kind: 'savepoint', name: 'A; b' }]],
    ['SAVEPOINT "say ""a"""', [{ kind: 'savepoint', name: 'say "a"' }]],
    ['RELEASE savepoint', [{ kind: 'release', name: 'savepoint' }]],
    ['ROLLBACK TRANSACTION TO SAVEPOINT Ärger', [{ kind: 'rollbackTo', name: 'Ärger' }]],
    ['COMMIT TRANSACTION AND NO CHAIN', [{ kind: 'commit', chain: false }]],
    ["PREPARE TRANSACTION E'it\\'s'", [{ kind: 'prepare', chain: false }]],
    ['PREPARE TRANSACTION $$x$$', [{ kind: 'prepare', chain: false }]],
    ['/* /* nested */ ; */ COMMIT', [{ kind: 'commit', chain: false }]],
    ["INSERT INTO notes VALUES ('x'); COMMIT", [{ kind: 'commit', chain: false }]],
    ['SELECT a$b$ FROM t; COMMIT; SELECT a$b$', [{ kind: 'commit', chain: false }]],
    ['SELECT $1; COMMIT', [{ kind: 'commit', chain: false }]],
    ["SELECT 'a\\'; COMMIT; --'", [{ kind: 'commit', chain: false }]],
    ['SELECT 1 -- \r; COMMIT', [{ kind: 'commit', chain: false }]],
    ['SELECT $a$ $A$ ; $a$; COMMIT; SELECT $A$ $a$ $A$', [{ kind: 'commit', chain: false }]],
    ['CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; END; ABORT', [{ kind: 'rollback', chain: false }]],
    ['release a', [{ kind: 'release', name: 'a' }]],
    ['RELEASE SAVEPOINT "a"', [{ kind: 'release', name: 'a' }]],
    ['rollback to a', [{ kind: 'rollbackTo', name: 'a' }]],
    ['ROLLBACK WORK TO SAVEPOINT a', [{ kind: 'rollbackTo', name: 'a' }]],
    [
      "SAVEPOINT a; INSERT INTO notes VALUES ('x; COMMIT'); RELEASE a",
      [
        { kind: 'savepoint', name: 'a' },
        { kind: 'release', name: 'a' },
      ],
    ],
  ])('finds the statements that control the transaction in %j', (text, controls) => {
    expect(transactionControls(text)).toEqual(controls);
  });

  it.each([
    'SELECT CASE WHEN true THEN 1 END',
    "INSERT INTO notes VALUES ('; ROLLBACK; ')",
    "INSERT INTO notes VALUES (E'\\'; COMMIT; ')",
    'DO $x$ BEGIN PERFORM 1; END; $x$',
    'DO $$ BEGIN; COMMIT; END $$',
    'SELECT 1 /* ; COMMIT; */ -- ; ROLLBACK',
    'PREPARE fetch AS SELECT 1',
    'UPDATE t SET "end; COMMIT; " = $1',
    "SELECT type'; COMMIT; '",
    "SELECT E'a' -- and\n  '\\'; COMMIT; '",
    'CREATE OR REPLACE PROCEDURE p() BEGIN ATOMIC INSERT INTO t VALUES (1); INSERT INTO t VALUES (2); END',
    'CREATE RULE r AS ON INSERT TO t DO ALSO (DELETE FROM t; SELECT 1; END)',
    "COMMIT PREPARED 'x'",
    'SELECT $tag$ ; COMMIT',
    "SELECT ' ; COMMIT",
    'SELECT 1 /* /* */ ; COMMIT',
  ])('finds no statement that controls the transaction in %j', (text) => {
    expect(transactionControls(text)).toEqual([]);
  });

  const SIZE = 16_000_000;
  const many = (part: string): string => part.repeat(SIZE / part.length);

  it.each([
    ['a text', `INSERT INTO big VALUES ('${many('x')} the end ')`],
    ['a text full of quotes', `INSERT INTO big VALUES ('${many("''; COMMIT; ")}')`],
    ['an escaped text', `INSERT INTO big VALUES (E'${many("\\'; COMMIT; ")}')`],
    ['open comments', `SELECT 1 ${many('/*; END; ')}`],
    ['a deep comment', `${many('/*')}; END; ${many('*/')}SELECT 1`],
    ['line comments', `SELECT 1 ${many('--; END; \n')}`],
    ['open dollars', Array.from({ length: 200_000 }, (_, index) => `$a${index}$; END; `).join('')],
    ['continued texts', `SELECT ${many("E'x'\n--; END; \n")}`],
    ['dashes after a text', `SELECT E'x'${many('-')}\n; SELECT end`],
    ['texts before comments', `SELECT ${many("E'x'-- ")}; END`],
    ['a long list', `INSERT INTO big VALUES ${many('(1, end, 3), ')} (1, 2, 3);`],
  ])('reads megabytes of SQL in linear time: %s', (_, text) => {
    // Anything but linear would take minutes, or have no room on the stack.
    expect(transactionControls(text)).toEqual([]);
  });

  it('finds a COMMIT after a text of megabytes', () => {
    const text = `INSERT INTO big VALUES ('${many('; ')}'); COMMIT AND CHAIN`;

    expect(transactionControls(text)).toEqual([{ kind: 'commit', chain: true }]);
  });
});
