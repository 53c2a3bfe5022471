import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { itLong } from '../support/long-form.js';
import { killSpawned } from '../support/processes.js';
import { waitFor } from '../support/wait.js';
import { KitApplication } from './support/kit-application.js';
import type { Line } from './support/test-world.js';

/** Number of places at which the short form kills a process. */
const SHORT_FORM = 6;
const OPTIONS = JSON.stringify({ pollIntervalMs: 100, recoverAfterMs: 500 });

describe.each<Line>(['stable', 'beta7'])('a process of %s that is killed at a statement of the World', (line) => {
  let database: TestDatabase;
  let survivor: KitApplication;
  let total: number;

  const start = (env: Record<string, string> = {}): Promise<KitApplication> =>
    KitApplication.start(line, database.url, { WORLD_OPTIONS: OPTIONS, KILL_AT: '0:before', ...env });
  const runs = (): Promise<{ run_id: string; status: string }[]> =>
    database.query('SELECT run_id, status FROM durable_world.world_runs ORDER BY run_id DESC');

  beforeAll(async () => {
    database = await createTestDatabase();
    survivor = await start();
    const before = await survivor.statements();
    await survivor.ended(await survivor.run('addThree', 4));
    await waitFor(async () => (await database.query('SELECT FROM durable_world.world_messages')).length === 0);
    total = (await survivor.statements()) - before;
  });

  afterAll(async () => {
    await killSpawned();
    await database.drop();
  });

  /** Starts a run in a process that is killed, and lets the other process end the run. */
  const cut = async (place: string): Promise<void> => {
    const known = (await runs()).length;
    // The other process must not take the work of this one.
    survivor.process.kill('SIGSTOP');
    try {
      const victim = await start({ KILL_AT: place });
      // The answer is lost when the process is killed during the start.
      await victim.run('addThree', 4).catch(() => undefined);
      // A run may take fewer statements than the one that was counted.
      const finished = waitFor(async () => (await runs())[0]?.status === 'completed', { timeoutMs: 60_000 });
      await Promise.race([victim.process.exited, finished.catch(() => undefined)]);
      victim.process.kill('SIGKILL');
      await victim.process.exited;
      // As when the leases of the process have expired.
      await database.query('UPDATE durable_world.world_messages SET due_at = now()');
    } finally {
      survivor.process.kill('SIGCONT');
    }
    const all = await runs();
    const [run] = all.slice(0, all.length - known);
    if (!run) return;
    expect(await survivor.ended(run.run_id)).toEqual({ status: 'completed', output: 7 });
    const events = await database.query<{ type: string; correlation_id: string | null; slot: string }>(
      'SELECT type, correlation_id, slot FROM durable_world.world_events WHERE run_id = $1 ORDER BY slot',
      [run.run_id],
    );
    // An attempt of a step may begin twice; everything else happens once.
    const once = events.filter(({ type }) => type !== 'step_started').map(({ type, correlation_id: id }) => `${type} ${id}`);
    expect(new Set(once).size).toBe(once.length);
    expect(events.filter(({ type }) => type === 'step_completed')).toHaveLength(3);
    expect(events.map(({ slot }) => Number(slot))).toEqual(events.map((_, index) => index + 1));
    await waitFor(async () => (await database.query('SELECT FROM durable_world.world_messages')).length === 0);
  };

  /** Places before and after each statement of a run. */
  const places = (): string[] => {
    expect(total).toBeGreaterThan(10);
    return Array.from({ length: total }, (_, index) => [`${index + 1}:before`, `${index + 1}:after`]).flat();
  };

  it('leaves a run that ends in another process, with one of each event', async () => {
    const all = places();
    // An odd distance, so that both kinds of places are among them.
    const distance = Math.floor(all.length / SHORT_FORM) | 1;
    for (const place of all.filter((_, index) => index % distance === 0)) await cut(place);
  });

  itLong.each([0, 1, 2, 3, 4, 5, 6, 7])('leaves such a run at every eighth statement, from %i on', async (part) => {
    for (const place of places().filter((_, index) => index % 8 === part)) await cut(place);
  });
});
