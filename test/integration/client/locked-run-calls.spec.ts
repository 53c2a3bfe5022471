import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import pg from 'pg';

import { defineSignal, NonRetryableError, Workflow, type WorkflowClient, type WorkflowContext } from '../../../src/index.js';
import { Database } from '../../../src/store/database.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { waitFor } from '../../support/wait.js';

const CALLS = 60;
const go = defineSignal<number>('go');

@Workflow({ name: 'patient' })
class Patient {
  async run(how: 'waits' | 'fails', ctx: WorkflowContext): Promise<number> {
    if (how === 'waits') return ctx.waitForSignal(go);
    await ctx.step('charge', () => {
      throw new NonRetryableError('no money');
    });
    return 0;
  }
}

describe('sixty calls for one locked run', () => {
  let client: WorkflowClient;
  let database: TestDatabase;
  /** Executions of each statement: all, those under way, and the most at the same time. */
  const statements = new Map<string, { count: number; underWay: number; most: number }>();
  beforeAll(async () => {
    database = await createTestDatabase();
    const original = Database.prototype.query;
    jest.spyOn(Database.prototype, 'query').mockImplementation(async function (this: Database, statement, ...rest) {
      const seen = statements.get(statement.name) ?? { count: 0, underWay: 0, most: 0 };
      statements.set(statement.name, seen);
      seen.count++;
      seen.most = Math.max(seen.most, ++seen.underWay);
      try {
        return await original.call(this, statement, ...rest);
      } finally {
        seen.underWay--;
      }
    });
    ({ client } = await startApplication(database.url, [Patient], { worker: { suspendAfter: 0 } }));
  });
  afterAll(async () => {
    await closeApplications();
    await database.drop();
    jest.restoreAllMocks();
  });

  /**
   * Locks the row until `statement` has been tried eight times. Returns the largest number of
   * simultaneous tries.
   */
  async function triesAtOnce(id: string, statement: string, call: () => Promise<unknown>): Promise<number> {
    const holder = new pg.Client({ connectionString: database.url });
    await holder.connect();
    await holder.query('BEGIN');
    await holder.query('SELECT 1 FROM durable.workflow_runs WHERE id = $1 FOR UPDATE', [id]);
    statements.clear();
    const calls = Promise.allSettled(Array.from({ length: CALLS }, call));
    await waitFor(() => (statements.get(statement)?.count ?? 0) >= 8);
    const { most } = statements.get(statement)!;
    await holder.query('ROLLBACK');
    await holder.end();
    const fulfilled = (await calls).filter(({ status }) => status === 'fulfilled');
    expect(fulfilled.length).toBeGreaterThan(0);
    return most;
  }

  const waiting = async (id: string): Promise<string> => {
    await client.start(Patient, 'waits', { id });
    await waitFor(async () => (await client.status(id)) === 'waiting');
    return id;
  };
  const failed = async (id: string): Promise<string> => {
    await expect(client.execute(Patient, 'fails', { id })).rejects.toThrow();
    return id;
  };
  const cases: [string, string, (id: string) => Promise<string>, (id: string) => Promise<unknown>][] = [
    ['resume', 'durable_resume_run', waiting, (id) => client.resume(id)],
    ['pause', 'durable_pause_runs', waiting, (id) => client.pause(id)],
    ['terminate', 'durable_end_runs', waiting, (id) => client.terminate(id)],
    ['resolveStep', 'durable_bump_runs', waiting, (id) => client.resolveStep(id, 'signal:go', { output: 1 })],
    ['retry', 'durable_retry_run', failed, (id) => client.retry(id)],
    ['resolveStep-failed', 'durable_retry_run', failed, (id) => client.resolveStep(id, 'charge', { output: 1 })],
  ];

  it.each(cases)('try the row one at a time (%s)', async (name, statement, prepare, call) => {
    const id = await prepare(name);
    expect(await triesAtOnce(id, statement, () => call(id))).toBe(1);
  });

  it('do not wait for the lock (fork)', async () => {
    const id = await waiting('fork');
    const holder = new pg.Client({ connectionString: database.url });
    await holder.connect();
    await holder.query('BEGIN');
    await holder.query('SELECT 1 FROM durable.workflow_runs WHERE id = $1 FOR UPDATE', [id]);
    await expect(Promise.all(Array.from({ length: CALLS }, () => client.fork(id)))).resolves.toHaveLength(CALLS);
    await holder.query('ROLLBACK');
    await holder.end();
  });
});
