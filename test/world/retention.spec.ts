import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { ulid } from 'ulid';

import type { World } from '../../src/world/index.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { waitFor } from '../support/wait.js';
import { bytes, deliverTo, startRun } from './support/test-world.js';

const TABLES = ['runs', 'events', 'steps', 'hooks', 'waits', 'streams'];

describe('the retention of a World', () => {
  let database: TestDatabase;
  let world: World;
  let close: () => Promise<void>;

  beforeAll(async () => {
    database = await createTestDatabase();
    ({ world, close } = await deliverTo('stable', { databaseUrl: database.url, recoverAfterMs: 3_600_000 }, () => Promise.resolve()));
  });

  afterAll(async () => {
    await close();
    await database.drop();
  });

  /** A run that was created two hours ago, with a row in each table. */
  const makeRun = async (): Promise<string> => {
    const runId = await startRun(world, `wrun_${ulid(Date.now() - 7_200_000)}`);
    const event = (eventType: string, correlationId: string, eventData: Record<string, unknown>): Promise<unknown> =>
      world.events.create(runId, { eventType, correlationId, specVersion: 3, eventData });
    await event('step_created', 'step_1', { stepName: 's', input: bytes(1) });
    await event('hook_created', 'hook_1', { token: runId });
    await event('wait_created', 'wait_1', { resumeAt: new Date() });
    await world.writeToStream(`strm_${runId}`, runId, 'text');
    return runId;
  };
  /** Ends a run some seconds ago. */
  const end = async (runId: string, status: 'completed' | 'failed', secondsAgo: number): Promise<string> => {
    await world.events.create(runId, { eventType: `run_${status}`, specVersion: 3, eventData: { output: bytes(1), error: 'x' } });
    await database.query(`UPDATE durable_world.world_runs SET completed_at = now() - $2 * interval '1 second' WHERE run_id = $1`, [
      runId,
      secondsAgo,
    ]);
    return runId;
  };
  const rowsOf = async (runId: string): Promise<string[]> => {
    const counts = await Promise.all(
      TABLES.map((table) => database.query(`SELECT FROM durable_world.world_${table} WHERE run_id = $1 LIMIT 1`, [runId])),
    );
    const chunks = await database.query('SELECT FROM durable_world.world_chunks WHERE name = $1', [`strm_${runId}`]);
    return [...TABLES.filter((_, index) => counts[index]!.length > 0), ...(chunks.length > 0 ? ['chunks'] : [])];
  };

  it('removes ended runs with all that belongs to them, and streams without a run, and nothing else', async () => {
    const old = await end(await makeRun(), 'completed', 5_000);
    const kept = [await end(await makeRun(), 'failed', 5_000), await end(await makeRun(), 'completed', 60), await makeRun()];
    const named = await end(await makeRun(), 'completed', 5_000);
    // The message of a start could create the run again.
    await world.queue('__wkf_workflow_test', { runId: named }, { delaySeconds: 3_600 });
    await world.writeToStream('__health_check__old', 'wrun_none', 'text');
    await world.writeToStream('__health_check__new', 'wrun_none', 'text');
    await database.query(
      `UPDATE durable_world.world_streams SET updated_at = now() - interval '2 hours' WHERE name = '__health_check__old'`,
    );
    const before = await rowsOf(old);
    expect(before).toEqual(['runs', 'events', 'steps', 'hooks', 'streams', 'chunks']);
    const removing = await deliverTo('stable', { databaseUrl: database.url, retention: { completed: '1h' } }, () => Promise.resolve());
    const streams = (): Promise<{ name: string }[]> =>
      database.query(`SELECT name FROM durable_world.world_streams WHERE name LIKE '\\_\\_health%'`);
    // A round reads the runs first, and then the streams.
    await waitFor(async () => (await streams()).length === 1);
    await removing.close();
    expect(await rowsOf(old)).toEqual([]);
    expect(await streams()).toEqual([{ name: '__health_check__new' }]);
    expect(await rowsOf(kept[2]!)).toEqual(['runs', 'events', 'steps', 'hooks', 'waits', 'streams', 'chunks']);
    for (const runId of [kept[0]!, kept[1]!, named]) expect(await rowsOf(runId)).toEqual(before);
  });

  it.each(['run', 'stream without a run'])('removes the chunk that a writer adds while its %s is removed', async (subject) => {
    const runId = subject === 'run' ? await end(await makeRun(), 'completed', 5_000) : `wrun_${ulid()}`;
    const name = `strm_${runId}`;
    await world.writeToStream(name, runId, 'first');
    await database.query(`UPDATE durable_world.world_streams SET updated_at = now() - interval '2 hours' WHERE name = $1`, [name]);
    const writer = new pg.Client({ connectionString: database.url });
    await writer.connect();
    await writer.query('BEGIN');
    // As the statement of a writer does.
    await writer.query('UPDATE durable_world.world_streams SET last_index = last_index + 1 WHERE name = $1', [name]);
    await writer.query(`INSERT INTO durable_world.world_chunks (name, index, data) VALUES ($1, 9, 'last')`, [name]);
    const removing = await deliverTo('stable', { databaseUrl: database.url, retention: { completed: '1h' } }, () => Promise.resolve());
    try {
      await waitFor(
        async () =>
          (await database.query(`SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`)).length > 0,
      );
      await writer.query('COMMIT');
      const left = (table: string): Promise<unknown[]> =>
        database.query(`SELECT FROM durable_world.world_${table} WHERE name = $1`, [name]);
      await waitFor(async () => (await left('streams')).length === 0);
      expect(await left('chunks')).toEqual([]);
    } finally {
      await removing.close();
      await writer.end();
    }
  });
});
