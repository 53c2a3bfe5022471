import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';

import { defineSignal, NonRetryableError, Workflow, type WorkflowClient, type WorkflowContext } from '../../../src/index.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { PATIENCE, seconds, waitFor } from '../../support/wait.js';

const go = defineSignal<number>('go');
const end = defineSignal<number>('end');
const RUNS = 20;
const LOCKED_MS = 300;
/** A notifier that does not retry would need seconds. */
const SOON_MS = 300 * PATIENCE;

@Workflow({ name: 'waits' })
class Waits {
  async run(_input: void, ctx: WorkflowContext): Promise<number> {
    return ctx.waitForSignal(go);
  }
}

@Workflow({ name: 'child' })
class Child {
  async run(_input: void, ctx: WorkflowContext): Promise<number> {
    return ctx.waitForSignal(end);
  }
}

@Workflow({ name: 'parent' })
class Parent {
  async run(childId: string, ctx: WorkflowContext): Promise<number> {
    return ctx.invoke(Child, undefined, { id: childId });
  }
}

@Workflow({ name: 'hooked' })
class Hooked {
  async run(token: string, ctx: WorkflowContext): Promise<unknown> {
    const hook = await ctx.hook({ token });
    return hook.wait();
  }
}

@Workflow({ name: 'fails' })
class Fails {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    await ctx.step('fail', () => {
      throw new NonRetryableError('for ever');
    });
  }
}

let database: TestDatabase;
let client: WorkflowClient;
let round = 0;
beforeAll(async () => {
  database = await createTestDatabase();
  ({ client } = await startApplication(database.url, [Waits, Child, Parent, Hooked, Fails], { worker: { suspendAfter: 20 } }));
});
afterAll(async () => {
  await closeApplications();
  await database.drop();
});

async function withStatus(ids: readonly string[], status: string): Promise<string[]> {
  const rows = await database.query<{ id: string }>('SELECT id FROM durable.workflow_runs WHERE id = ANY ($1) AND status = $2', [
    ids,
    status,
  ]);
  return rows.map(({ id }) => id);
}

/** Locks the rows of runs until the transaction of the returned client ends. */
async function hold(ids: readonly string[]): Promise<pg.Client> {
  const holder = new pg.Client({ connectionString: database.url });
  await holder.connect();
  await holder.query('BEGIN');
  await holder.query('SELECT id FROM durable.workflow_runs WHERE id = ANY ($1) ORDER BY id FOR UPDATE', [ids]);
  return holder;
}

/** Statements of the module's connections that wait for locks of the holder. */
async function waitingFor(holder: pg.Client): Promise<string[]> {
  const { rows } = await holder.query<{ query: string }>(`SELECT query FROM pg_stat_activity
    WHERE datname = current_database() AND application_name LIKE 'nestjs-durable%' AND pg_backend_pid() = ANY (pg_blocking_pids(pid))`);
  return rows.map(({ query }) => query);
}

/**
 * Releases the rows, and measures the time from the release until each run has `status`. Returns
 * the p95 in milliseconds.
 */
async function heardAfter(holder: pg.Client, ids: readonly string[], status: string): Promise<number> {
  await holder.query('COMMIT');
  const freed = performance.now();
  await holder.end();
  const heard = new Map<string, number>();
  await waitFor(async () => {
    for (const id of await withStatus(ids, status)) if (!heard.has(id)) heard.set(id, performance.now() - freed);
    return heard.size === ids.length;
  });
  return [...heard.values()].sort((a, b) => a - b)[Math.ceil(ids.length * 0.95) - 1]!;
}

async function heardAfterLock(ids: readonly string[], act: () => Promise<unknown>, status: string, lockedMs: number): Promise<number> {
  const holder = await hold(ids);
  const acting = act();
  await sleep(lockedMs);
  const p95 = await heardAfter(holder, ids, status);
  await acting;
  return p95;
}

/**
 * Expects that a lock of 300 ms delays a notification by less than 300 ms after its release,
 * compared with the same call without a lock: a busy machine delays both. One of three measurements
 * may fail; without a notifier that retries, all three take seconds.
 */
async function expectSoon(measure: (lockedMs: number) => Promise<number>): Promise<void> {
  let least = Number.POSITIVE_INFINITY;
  for (let tries = 0; tries < 3 && least >= SOON_MS; tries++) least = Math.min(least, (await measure(LOCKED_MS)) - (await measure(0)));
  expect(least).toBeLessThan(SOON_MS);
}

describe('a run whose row is locked for 300 ms', () => {
  const idsOf = (what: string): string[] => {
    round++;
    return Array.from({ length: RUNS }, (_, index) => `${what}-${round}-${index}`);
  };
  const waiting = async (what: string): Promise<string[]> => {
    const ids = idsOf(what);
    await Promise.all(ids.map((id) => client.start(Waits, undefined, { id, tags: { batch: ids[0]! } })));
    await waitFor(async () => (await withStatus(ids, 'waiting')).length === RUNS);
    return ids;
  };

  it('completes within 300 ms after the lock when an operator has resolved its step', () =>
    expectSoon(async (lockedMs) => {
      const ids = await waiting('resolve');
      const act = () => Promise.all(ids.map((id) => client.resolveStep(id, 'signal:go', { output: 1 })));
      return heardAfterLock(ids, act, 'completed', lockedMs);
    }));

  it('completes within 300 ms after the lock when its child has ended', () =>
    expectSoon(async (lockedMs) => {
      const ids = idsOf('parent');
      await Promise.all(ids.map((id) => client.start(Parent, `${id}-child`, { id })));
      await waitFor(async () => (await withStatus([...ids, ...ids.map((id) => `${id}-child`)], 'waiting')).length === 2 * RUNS);
      const act = () => Promise.all(ids.map((id) => client.signal(`${id}-child`, end, 1)));
      return heardAfterLock(ids, act, 'completed', lockedMs);
    }));

  it('completes within 300 ms after the lock when a bulk operation has sent its signal', () =>
    expectSoon(async (lockedMs) => {
      const ids = await waiting('bulk');
      const { token } = await client.bulk.signal({ filter: { tags: { batch: ids[0]! } }, dryRun: true, signal: go, payload: 1 });
      // The worker polls for operations once a second: the locks must last until the worker has
      // completed the operation.
      const holder = await hold(ids);
      await client.bulk.signal({ token });
      await waitFor(async () => (await client.bulk.status(token)).state === 'completed');
      await sleep(lockedMs);
      return heardAfter(holder, ids, 'completed');
    }));

  it('is paused or resumed within 300 ms after the lock', () =>
    expectSoon(async (lockedMs) => {
      const ids = await waiting('pause');
      const paused = await heardAfterLock(ids, () => Promise.all(ids.map((id) => client.pause(id))), 'paused', lockedMs);
      const resumed = await heardAfterLock(ids, () => Promise.all(ids.map((id) => client.resume(id))), 'waiting', lockedMs);
      return Math.max(paused, resumed);
    }));

  it('completes within 300 ms after the lock when its hook has received a payload', () =>
    expectSoon(async (lockedMs) => {
      const ids = idsOf('hook');
      await Promise.all(ids.map((id) => client.start(Hooked, `token-for-the-run-${id}`, { id })));
      await waitFor(async () => (await withStatus(ids, 'waiting')).length === RUNS);
      const act = () => Promise.all(ids.map((id) => client.resumeHook(`token-for-the-run-${id}`, 1)));
      return heardAfterLock(ids, act, 'completed', lockedMs);
    }));

  it('is cancelled within 300 ms after the lock', () =>
    expectSoon(async (lockedMs) => {
      const ids = await waiting('cancel');
      return heardAfterLock(ids, () => Promise.all(ids.map((id) => client.cancel(id))), 'cancelled', lockedMs);
    }));
});

it('60 signals to a locked run are accepted, and no connection waits for its lock', async () => {
  const { runId } = await client.start(Waits);
  await waitFor(async () => (await withStatus([runId], 'waiting')).length === 1);
  const holder = await hold([runId]);
  let isAnswered = false;
  const sent = Promise.all(Array.from({ length: 60 }, (_, n) => client.signal(runId, go, n))).then(() => (isAnswered = true));
  const seen = await waitFor(async () => {
    const [waiting] = await waitingFor(holder);
    return waiting ? 'a connection waits for the lock' : isAnswered && 'all are answered';
  });
  await sent;
  expect(seen).toBe('all are answered');
  await holder.query('COMMIT');
  await holder.end();
  await waitFor(async () => (await withStatus([runId], 'completed')).length === 1);
});

describe('terminate of a locked run', () => {
  it('waits without a connection, and ends the run when its row is unlocked', async () => {
    await client.start(Waits, undefined, { id: 'locked-terminate' });
    await waitFor(async () => (await withStatus(['locked-terminate'], 'waiting')).length === 1);
    const holder = await hold(['locked-terminate']);
    const terminated = Promise.allSettled(Array.from({ length: 20 }, () => client.terminate('locked-terminate')));
    for (let look = 0; look < 20; look++) {
      // Not "waits for any lock": flushes and sweeps may briefly wait for each other over other
      // runs.
      expect(await waitingFor(holder)).toEqual([]);
      await sleep(20);
    }
    await holder.query('ROLLBACK');
    await holder.end();
    const ended = (await terminated).filter(({ status }) => status === 'fulfilled');
    expect(ended).toHaveLength(1);
    expect(await withStatus(['locked-terminate'], 'cancelled')).toHaveLength(1);
  });

  it('delays neither the other runs of a bulk operation nor another operation', async () => {
    const ids = Array.from({ length: 5 }, (_, index) => `bulk-terminate-${index}`);
    for (const id of [...ids, 'bulk-beside'])
      await client.start(Waits, undefined, { id, tags: { set: id === 'bulk-beside' ? 'two' : 'one' } });
    await waitFor(async () => (await withStatus([...ids, 'bulk-beside'], 'waiting')).length === 6);
    const holder = await hold([ids[2]!]);
    const { token } = await client.bulk.terminate({ filter: { tags: { set: 'one' } }, dryRun: true });
    await client.bulk.terminate({ token });
    const beside = await client.bulk.signal({ filter: { tags: { set: 'two' } }, signal: go, payload: 7, dryRun: true });
    await client.bulk.signal({ token: beside.token });
    await waitFor(async () => (await withStatus(ids, 'cancelled')).length === 4);
    expect(await client.getHandle(Waits, 'bulk-beside').result({ timeout: seconds(45) })).toBe(7);
    await holder.query('ROLLBACK');
    await holder.end();
    await waitFor(async () => (await withStatus(ids, 'cancelled')).length === 5);
  });
});

describe('a bulk operation with a locked run', () => {
  const stateOf = async (token: string): Promise<object> => client.bulk.status(token);
  const failing = async (tag: string): Promise<string[]> => {
    const ids = Array.from({ length: 4 }, (_, index) => `${tag}-${index}`);
    for (const id of ids) await expect(client.execute(Fails, undefined, { id, tags: { tag } })).rejects.toThrow();
    return ids;
  };
  const retriedOf = async (ids: readonly string[]): Promise<number> => {
    const rows = await database.query('SELECT 1 FROM durable.workflow_runs WHERE id = ANY ($1) AND generation = 1', [ids]);
    return rows.length;
  };

  it('retries the other runs at once, counts the run as locked, and retries the run when its row is unlocked', async () => {
    const ids = await failing('bulk-retry');
    const holder = await hold([ids[1]!]);
    const { token } = await client.bulk.retry({ filter: { tags: { tag: 'bulk-retry' } }, dryRun: true });
    await client.bulk.retry({ token });
    await waitFor(async () => (await retriedOf(ids)) === 3);
    await waitFor(async () => (await client.bulk.status(token)).locked === 1);
    expect(await stateOf(token)).toMatchObject({ state: 'running', done: 3, skipped: 0, locked: 1 });
    await holder.query('ROLLBACK');
    await holder.end();
    await waitFor(async () => (await client.bulk.status(token)).state === 'completed');
    expect(await stateOf(token)).toMatchObject({ done: 4, skipped: 0, locked: 0 });
    expect(await retriedOf(ids)).toBe(4);
  });

  it('counts the run as skipped when the run is deleted before its row is unlocked', async () => {
    const ids = await failing('bulk-gone');
    const holder = await hold([ids[1]!]);
    const { token } = await client.bulk.retry({ filter: { tags: { tag: 'bulk-gone' } }, dryRun: true });
    await client.bulk.retry({ token });
    await waitFor(async () => (await client.bulk.status(token)).locked === 1);
    await holder.query('DELETE FROM durable.workflow_runs WHERE id = $1', [ids[1]]);
    await holder.query('COMMIT');
    await holder.end();
    await waitFor(async () => (await client.bulk.status(token)).state === 'completed');
    expect(await stateOf(token)).toMatchObject({ done: 3, skipped: 1, locked: 0 });
  });

  it('terminates the run in another process when the first process closes before the row is unlocked', async () => {
    const other = await createTestDatabase();
    try {
      const first = await startApplication(other.url, [Waits], { worker: { suspendAfter: 0 } });
      const ids = ['ended-0', 'ended-1'];
      for (const id of ids) await first.client.start(Waits, undefined, { id, tags: { tag: 'ended' } });
      await waitFor(async () => (await first.client.count({ status: 'waiting' })) === 2);
      const holder = new pg.Client({ connectionString: other.url });
      await holder.connect();
      await holder.query('BEGIN');
      await holder.query('SELECT 1 FROM durable.workflow_runs WHERE id = $1 FOR UPDATE', [ids[0]]);
      const { token } = await first.client.bulk.terminate({ filter: { tags: { tag: 'ended' } }, dryRun: true });
      await first.client.bulk.terminate({ token });
      await waitFor(async () => (await first.client.bulk.status(token)).locked === 1);
      await first.close();
      await holder.query('ROLLBACK');
      await holder.end();
      const second = await startApplication(other.url, [Waits]);
      await waitFor(async () => (await second.client.bulk.status(token)).state === 'completed');
      expect(await second.client.bulk.status(token)).toMatchObject({ done: 2, skipped: 0, locked: 0 });
      expect(await second.client.count({ status: 'cancelled' })).toBe(2);
      await second.close();
    } finally {
      await other.drop();
    }
  });
});
