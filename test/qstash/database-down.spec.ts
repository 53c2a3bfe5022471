import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';

import { Workflow, type WorkflowContext } from '../../src/index.js';
import { closeApplications } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { FaultProxy } from '../support/faults/proxy.js';
import { startPushed, type PushedApplication } from '../support/pushed-application.js';
import { PATIENCE, seconds, waitFor } from '../support/wait.js';
import { Lines, send, SWEEP, wakeUp, type Answer } from './requests.js';

let bodies: string[] = [];
let isOpen = true;

@Workflow({ name: 'gated' })
class Gated {
  async run(_input: void, ctx: WorkflowContext): Promise<string> {
    await ctx.step('first', () => void bodies.push('first'));
    await ctx.step('second', async () => {
      bodies.push('second');
      await waitFor(() => isOpen);
    });
    await ctx.step('third', () => void bodies.push('third'));
    return 'done';
  }
}

describe('an endpoint of QStash whose database is down', () => {
  let database: TestDatabase;
  let proxy: FaultProxy;
  let pushed: PushedApplication;
  const logger = new Lines();
  beforeAll(async () => {
    database = await createTestDatabase();
    proxy = await FaultProxy.start(database.url);
    pushed = await startPushed(proxy.url, [Gated], { logger, options: { qstash: { deliveryTimeout: '3s' } } });
  });
  afterEach(() => {
    proxy.restore();
    pushed.qstash.setFaults({});
    bodies = [];
    isOpen = true;
  });
  afterAll(async () => {
    await closeApplications();
    await proxy.stop();
    await database.drop();
  });

  const isRested = async (): Promise<boolean> => (await database.query('SELECT 1 FROM durable.workflow_sessions')).length === 0;
  /** Starts a due run whose message is lost. */
  const untold = async (): Promise<string> => {
    pushed.qstash.setFaults({ lose: 1 });
    const { runId } = await pushed.client.start(Gated);
    pushed.qstash.setFaults({});
    return runId;
  };
  const expectLater = ({ status, body, headers }: Answer): void => {
    expect([status, body.status]).toEqual([503, 'later']);
    expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
  };

  it('answers 503 when it has claimed a run and cannot read its history, and executes the run later', async () => {
    const runId = await untold();
    await database.query('UPDATE durable.workflow_runs SET epoch = 1 WHERE id = $1', [runId]);
    const migration = new pg.Client({ connectionString: database.url });
    await migration.connect();
    await migration.query('BEGIN');
    await migration.query('LOCK TABLE durable.workflow_steps');
    expectLater(await send(pushed, { body: wakeUp(runId) }));
    await migration.query('COMMIT');
    await migration.end();
    // The delivery may still hold the run, and may execute the run itself.
    await waitFor(async () => {
      await send(pushed, { body: wakeUp(runId) });
      return (await pushed.client.getHandle(Gated, runId).status()) === 'completed';
    });
    expect(bodies).toEqual(['first', 'second', 'third']);
    await waitFor(isRested);
  });

  it('answers deliveries and sweeps with 503 and Retry-After, forgeries with 401, and executes the run later', async () => {
    const runId = await untold();
    proxy.refuse();
    expectLater(await send(pushed, { body: wakeUp(runId) }));
    expectLater(await send(pushed, { path: SWEEP }));
    expect((await send(pushed, { body: wakeUp(runId), signature: 'a.b.c' })).status).toBe(401);
    expect(logger.has('could not process a delivery; QStash repeats it')).toBe(true);
    proxy.restore();
    expect(await send(pushed, { body: wakeUp(runId) })).toMatchObject({ status: 200, body: { status: 'executed' } });
    expect(await pushed.client.getHandle(Gated, runId).result({ timeout: seconds(10) })).toBe('done');
    expect(bodies).toEqual(['first', 'second', 'third']);
    await waitFor(isRested);
  });

  it('continues a run without a repeated body after an outage in the middle of a delivery', async () => {
    isOpen = false;
    const runId = await untold();
    const answered = send(pushed, { body: wakeUp(runId) });
    await waitFor(() => bodies.includes('second'));
    proxy.refuse();
    isOpen = true;
    await waitFor(() => proxy.connections === 0);
    proxy.restore();
    expect([200, 503]).toContain((await answered).status);
    await waitFor(async () => {
      await send(pushed, { body: wakeUp(runId) });
      return (await pushed.client.getHandle(Gated, runId).status()) === 'completed';
    });
    expect(bodies).toEqual(['first', 'second', 'third']);
    await waitFor(isRested);
  });

  it('answers 503 while the server refuses connections, and executes the run later', async () => {
    const runId = await untold();
    await waitFor(isRested);
    const admin = new pg.Client({ connectionString: process.env['DURABLE_TEST_SERVER_URL'] });
    await admin.connect();
    const allow = (what: string) =>
      admin.query(`ALTER DATABASE ${admin.escapeIdentifier(new URL(database.url).pathname.slice(1))} ALLOW_CONNECTIONS ${what}`);
    await allow('false');
    proxy.cutAll();
    try {
      expectLater(await send(pushed, { body: wakeUp(runId) }));
    } finally {
      await allow('true');
      await admin.end();
    }
    expect(await send(pushed, { body: wakeUp(runId) })).toMatchObject({ status: 200, body: { status: 'executed' } });
  });

  it('answers 503 in time while every connection of the pool waits, and executes the run later', async () => {
    const runId = await untold();
    await waitFor(isRested);
    const holder = new pg.Client({ connectionString: database.url });
    await holder.connect();
    await holder.query('BEGIN; LOCK TABLE durable.workflow_runs, durable.workflow_sessions IN ACCESS EXCLUSIVE MODE');
    try {
      const answers = await Promise.all(Array.from({ length: 20 }, () => send(pushed, { body: wakeUp(runId) })));
      answers.forEach(expectLater);
    } finally {
      await holder.query('ROLLBACK');
      await holder.end();
    }
    // A delivery that was answered with 503 may still execute the run.
    await waitFor(async () => {
      await send(pushed, { body: wakeUp(runId) });
      return (await pushed.client.getHandle(Gated, runId).status()) === 'completed';
    });
    expect(bodies).toEqual(['first', 'second', 'third']);
  });

  it('answers 503 before the platform ends the delivery while the database is silent', async () => {
    const runId = await untold();
    await waitFor(isRested);
    proxy.silence();
    const since = performance.now();
    expectLater(await send(pushed, { body: wakeUp(runId) }));
    expect(performance.now() - since).toBeLessThan(3_000 * PATIENCE);
    proxy.cutAll();
    proxy.restore();
    await waitFor(async () => {
      await send(pushed, { body: wakeUp(runId) });
      return (await pushed.client.getHandle(Gated, runId).status()) === 'completed';
    });
    expect(bodies).toEqual(['first', 'second', 'third']);
  });
});
