import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';

import { JournalFixture, changeOf, startOf, stepOf, type OpenJournal } from '../../test/support/faults/journal-fixture.js';
import { PATIENCE } from '../../test/support/wait.js';

/**
 * Starts a run every few milliseconds without waiting for earlier ones. Returns the sorted
 * latencies.
 */
async function latencies(open: OpenJournal, prefix: string, forMs: number): Promise<number[]> {
  const until = performance.now() + forMs;
  const taken: Promise<number>[] = [];
  for (let index = 0; performance.now() < until; index++) {
    const since = performance.now();
    taken.push(open.submit(startOf(`${prefix}-${index}`, false)).then(() => performance.now() - since));
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return (await Promise.all(taken)).sort((a, b) => a - b);
}

const p95 = (sorted: readonly number[]): number => sorted[Math.floor(sorted.length * 0.95)]!;

describe('rows that another transaction locks', () => {
  let fixture: JournalFixture;
  let holder: pg.Client;
  beforeAll(async () => {
    fixture = await JournalFixture.create();
    holder = new pg.Client({ connectionString: fixture.admin.url });
    await holder.connect();
  });
  // Only a failed test leaves its transaction open.
  afterEach(() => holder.query('ROLLBACK'));
  afterAll(async () => {
    await holder.end();
    await fixture.close();
  });

  async function startRuns(open: OpenJournal, ids: readonly string[]): Promise<void> {
    await Promise.all(ids.map((id) => open.submit(startOf(id, true))));
  }

  it.each([
    ['of one run', 1],
    ['of eight runs', 8],
  ])('the journal writes other runs without delay, and locked runs once they are free: locks %s', async (what, locked) => {
    const open = await fixture.journal();
    const ids = Array.from({ length: 200 }, (_, index) => `${what}-${index}`);
    await startRuns(open, ids);
    const before = p95(await latencies(open, `${what}-warm`, 500));
    await holder.query('BEGIN');
    await holder.query('SELECT id FROM durable.workflow_runs WHERE id = ANY ($1) FOR UPDATE', [ids.slice(0, locked)]);

    const written = new Set<string>();
    const changes = ids.map((id) => open.submit(changeOf(id)).then(() => written.add(id)));
    const sorted = await latencies(open, `${what}-other`, 1_500);
    await Promise.all(changes.slice(locked));
    expect(ids.slice(0, locked).filter((id) => written.has(id))).toEqual([]);
    // Relative to the machine's speed before: a wait for a lock would add half a second or more.
    expect(p95(sorted)).toBeLessThan((250 + 4 * before) * PATIENCE);

    await holder.query('COMMIT');
    const since = performance.now();
    await Promise.all(changes);
    expect(performance.now() - since).toBeLessThan(1_500 * PATIENCE);
    const rows = await fixture.admin.query('SELECT DISTINCT status FROM durable.workflow_runs WHERE id = ANY ($1)', [ids]);
    expect(rows).toEqual([{ status: 'completed' }]);
  });

  it('the journal writes the transitions of a locked run in their order', async () => {
    const open = await fixture.journal();
    await startRuns(open, ['ordered', 'free']);
    await holder.query('BEGIN');
    // The run receives something. The suspension must wait for that transaction, and is then
    // refused.
    await holder.query(`UPDATE durable.workflow_runs SET wake_count = 1 WHERE id = 'ordered'`);
    const order: string[] = [];
    const note = (name: string) => () => void order.push(name);
    const first = open
      .submit(changeOf('ordered', { status: 'waiting', wakeAt: null, wakeCount: 0 }))
      .then(({ outcome }) => order.push(`suspend ${outcome}`));
    await open.submit(stepOf('free', 1));
    const second = open.submit(stepOf('ordered', 1)).then(note('step'));
    const third = open.submit(changeOf('ordered')).then(note('end'));
    await open.submit(stepOf('free', 2));
    expect(order).toEqual([]);
    await holder.query('COMMIT');
    await Promise.all([first, second, third]);
    expect(order).toEqual(['suspend moved', 'step', 'end']);
    const [run] = await fixture.admin.query(`SELECT status, (SELECT count(*)::int FROM durable.workflow_steps WHERE run_id = r.id) AS steps
      FROM durable.workflow_runs r WHERE id = 'ordered'`);
    expect(run).toEqual({ status: 'completed', steps: 1 });
  });

  it('a start whose id another transaction has inserted but not committed delays no other run', async () => {
    const open = await fixture.journal();
    const before = p95(await latencies(open, 'before', 500));
    await holder.query('BEGIN');
    await holder.query(`INSERT INTO durable.workflow_runs (id, name, version, queue, status, created_at, ready_at, start_nonce, input)
      VALUES ('uncommitted', 'order', 1, 'default', 'pending', now(), now(), 1, '{}')`);
    const started = open.submit(startOf('uncommitted', false));
    expect(p95(await latencies(open, 'beside', 1_000))).toBeLessThan((250 + 4 * before) * PATIENCE);
    await holder.query('ROLLBACK');
    await expect(started).resolves.toMatchObject({ outcome: 'done' });
  });

  it('the journal repeats a statement that the server cancels after its timeout, and no run fails', async () => {
    const open = await fixture.journal({ settings: { options: '-c statement_timeout=300ms' } });
    await startRuns(open, ['limited', 'neighbour']);
    await holder.query('BEGIN');
    await holder.query(`SELECT id FROM durable.workflow_runs WHERE id = 'limited' FOR UPDATE`);
    const limited = open.submit(changeOf('limited'));
    const failed = limited.then(
      () => undefined,
      (error: unknown) => error,
    );
    await open.submit(changeOf('neighbour'));
    const early = await Promise.race([failed, latencies(open, 'limit', 800).then(() => 'still waiting')]);
    await holder.query('COMMIT');
    expect(early).toBe('still waiting');
    await expect(limited).resolves.toMatchObject({ outcome: 'done' });
  });
});
