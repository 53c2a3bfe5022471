import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import ts from 'typescript';

import { RunEndedError, type WorkflowClient } from '../../src/index.js';
import { closeApplications, startApplication } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { waitFor } from '../support/wait.js';
import { approved, OrderWorkflow } from './cli/workflows.js';

/** A code block of a document, with the number of its first line. */
interface Block {
  readonly where: string;
  readonly code: string;
}

async function blocksOf(document: string, language: 'sql' | 'ts'): Promise<Block[]> {
  const text = await readFile(join('docs', document), 'utf8');
  return [...text.matchAll(new RegExp(`^ *\`\`\`${language}\n([^]*?)^ *\`\`\``, 'gm'))].map(({ index, 1: code }) => ({
    where: `${document}:${text.slice(0, index).split('\n').length + 1}`,
    code: code!,
  }));
}

/** State of the run of a documented call. */
type State = 'waiting' | 'paused' | 'failed' | 'completed';

/** Beginning of each documented call, with the state in which the call needs its run. */
const STATES: readonly (readonly [call: string, state: State])[] = [
  ['await client.pause(id', 'waiting'],
  ['await client.resume(id', 'paused'],
  ['await client.terminate(id', 'waiting'],
  ['await client.retry(id', 'failed'],
  ['await client.resolveStep(id', 'failed'],
  ['const copy = await client.fork(id', 'completed'],
];

describe('the documents for operators', () => {
  let database: TestDatabase;
  let client: WorkflowClient;
  beforeAll(async () => {
    database = await createTestDatabase();
    ({ client } = await startApplication(database.url, [OrderWorkflow], { worker: { suspendAfter: 20 } }));
  });
  afterAll(async () => {
    await closeApplications();
    await database.drop();
  });

  let runs = 0;
  const prepare = async (state: State, id = `run-${++runs}`, tags: Record<string, string> = {}): Promise<string> => {
    await client.start(OrderWorkflow, { card: state === 'failed' ? 'declined' : 'good' }, { id, tags });
    if (state === 'completed') await client.signal(id, approved, { by: 'ann' });
    if (state === 'paused') await client.pause(id);
    await waitFor(async () => (await client.status(id)) === state, { message: `${id} to be ${state}` });
    return id;
  };

  /** Executes code of a document, with the names that its text assumes. */
  const execute = async (code: string, id = ''): Promise<void> => {
    const { outputText } = ts.transpileModule(`async function documented() {\n${code}\n}`, {
      compilerOptions: { target: ts.ScriptTarget.ES2022 },
    });
    const names = {
      client,
      id,
      OrderWorkflow,
      RunEndedError,
      order: { card: 'good' },
      yesterday: new Date(Date.now() - 86_400_000),
      console: { log() {} },
    };
    // oxlint-disable-next-line typescript/no-implied-eval -- the code is that of the documents
    const make = new Function(...Object.keys(names), `${outputText}; return documented;`) as (...values: unknown[]) => () => Promise<void>;
    await make(...Object.values(names))();
  };

  it('have client calls that all succeed', async () => {
    await prepare('failed', 'order-7', { customer: '42' });
    await prepare('waiting', undefined, { customer: '42' });
    const executed: string[] = [];
    for (const { where, code } of await blocksOf('operations.md', 'ts')) {
      if (!code.includes('client.')) continue;
      const needsRuns = code.includes('(id');
      // Declarations of modules and workflows are not calls.
      const parts = needsRuns || code.includes('@Workflow') ? code.split('\n').filter((line) => line.includes('await client.')) : [code];
      for (const part of parts) {
        const [call, state] = STATES.find(([beginning]) => part.startsWith(beginning)) ?? [];
        expect(`${where} ${needsRuns ? call : ''}`).not.toContain('undefined');
        await execute(part, state && (await prepare(state))).catch((error: unknown) => {
          throw new Error(`${where} failed: ${part}`, { cause: error });
        });
        executed.push(...[...part.matchAll(/client\.((?:bulk\.|retention\.)?\w+)/g)].map(([, method]) => method!));
      }
    }
    const expected = [
      'list',
      'count',
      'failures',
      'health',
      'pause',
      'resume',
      'terminate',
      'retry',
      'resolveStep',
      'fork',
      'start',
      'delete',
    ];
    const ofMany = ['bulk.retry', 'bulk.status', 'bulk.stop', 'bulk.terminate', 'bulk.delete', 'retention.preview'];
    expect([...new Set(executed)].toSorted()).toEqual([...expected, ...ofMany].toSorted());
  });

  it('have SQL that can be executed', async () => {
    const id = await prepare('completed');
    await prepare('waiting');
    const failed: unknown[] = [];
    let count = 0;
    for (const document of (await readdir('docs')).filter((name) => name.endsWith('.md'))) {
      // Other tests execute the statements that create roles.
      const blocks = (await blocksOf(document, 'sql')).filter(({ code }) => !code.includes('CREATE ROLE'));
      for (const { where, code } of blocks) {
        // The application's role has its own name in each installation.
        const executable = code.replaceAll("'...'", `'${id}'`).replaceAll(/ TO app\b/g, ' TO CURRENT_USER');
        for (const statement of executable.split(/;\s*(?:--.*)?\n/)) {
          if (statement.trim() === '') continue;
          count++;
          await database.query(statement).catch((error: unknown) => failed.push({ where, statement, error: String(error) }));
        }
      }
    }
    expect(failed).toEqual([]);
    expect(count).toBeGreaterThan(15);
  });
});
