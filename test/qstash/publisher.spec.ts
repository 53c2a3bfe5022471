import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { Workflow, type WorkflowContext } from '../../src/index.js';
import { QStashEmulator } from '../../src/testing/index.js';
import { closeApplications } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { freePort } from '../support/free-port.js';
import { startPushed, type PushedApplication } from '../support/pushed-application.js';
import { slowApi } from '../support/slow-api.js';
import { PATIENCE, seconds, waitFor } from '../support/wait.js';
import { Lines } from './requests.js';

@Workflow({ name: 'brief' })
class Brief {
  async run(n: number, ctx: WorkflowContext): Promise<number> {
    return ctx.step('double', () => n * 2);
  }
}

/** Messages that were published for runs, without those of the schedule. */
function wakeUps({ qstash }: PushedApplication): unknown[] {
  return qstash.messages.filter(({ url }) => !url.endsWith('/sweep'));
}

describe('the publisher of messages to QStash', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(async () => {
    await closeApplications();
    await database.drop();
  });

  it('publishes one message per run for a thousand runs that are started together', async () => {
    const pushed = await startPushed(database.url, [Brief]);
    const inputs = Array.from({ length: 1_000 }, (_, n) => n);
    const handles = await pushed.client.startMany(Brief, inputs);
    expect(await Promise.all(handles.map((handle) => handle.result({ timeout: seconds(60) })))).toEqual(inputs.map((n) => n * 2));
    expect(wakeUps(pushed)).toHaveLength(1_000);
    await pushed.close();
  });

  it('delays a start until its own message is published, but not for messages of later starts', async () => {
    const qstash = await QStashEmulator.start();
    const pushed = await startPushed(database.url, [Brief], { qstash, options: { qstash: { url: await slowApi(qstash.url, 50) } } });
    const others: Promise<unknown>[] = [];
    const done: string[] = [];
    const first = pushed.client.start(Brief, 0).then(({ runId }) => done.push(runId));
    const until = performance.now() + seconds(10);
    while (done.length === 0 && performance.now() < until) {
      others.push(pushed.client.start(Brief, 1));
      await sleep(10);
    }
    expect(done).toHaveLength(1);
    expect(qstash.messages.map(({ body }) => body).join()).toContain(`"${done[0]}"`);
    await Promise.all([first, ...others]);
    await waitFor(async () => (await pushed.client.count({ status: 'pending' })) === 0);
    await qstash.settled();
    await pushed.close();
    await qstash.close();
  });

  it('delays a message by the clock of QStash, even when the clock of the application is wrong', async () => {
    const qstash = await QStashEmulator.start({ clock: 'manual', startAt: new Date(Date.now() + 60_000) });
    const pushed = await startPushed(database.url, [Brief], { qstash });
    const { runId } = await pushed.client.start(Brief, 1, { delay: '30s' });
    const message = qstash.messages.find(({ body }) => body.includes(`"${runId}"`))!;
    expect(message.notBefore.getTime() - message.createdAt.getTime()).toBe(30_000);
    await pushed.client.cancel(runId);
    await pushed.close();
    await qstash.close();
  });

  it('publishes all messages after a rate limit has passed, and no start waits for this', async () => {
    const qstash = await QStashEmulator.start({ limits: { requestsPerSecond: 1 } });
    const pushed = await startPushed(database.url, [Brief], { qstash });
    await waitFor(async () => {
      await pushed.client.start(Brief, 0);
      return (await pushed.client.count({ status: 'pending' })) > 0;
    });
    const began = performance.now();
    const handles = await pushed.client.startMany(Brief, [1, 2, 3]);
    expect(performance.now() - began).toBeLessThan(1_000 * PATIENCE);
    expect(await Promise.all(handles.map((handle) => handle.result({ timeout: seconds(20) })))).toEqual([2, 4, 6]);
    await waitFor(async () => (await pushed.client.count({ status: 'pending' })) === 0);
    await pushed.close();
    await qstash.close();
  });

  it('publishes nothing after the daily limit was reached, even in a sweep', async () => {
    const qstash = await QStashEmulator.start({ limits: { messagesPerDay: 1 } });
    const pushed = await startPushed(database.url, [Brief], { qstash, options: { qstash: { sweep: false } } });
    await pushed.client.execute(Brief, 1);
    const handle = await pushed.client.start(Brief, 2);
    qstash.setLimits({});
    await database.query(`UPDATE durable.workflow_runs SET ready_at = now() - interval '2 minutes' WHERE id = $1`, [handle.runId]);
    const before = wakeUps(pushed).length;
    await pushed.sweep();
    await waitFor(() => qstash.deliveries.some(({ url, outcome }) => url.endsWith('/sweep') && outcome === 'delivered'));
    await pushed.client.start(Brief, 3);
    expect(wakeUps(pushed)).toHaveLength(before);
    // The next process knows no limit, and publishes the missing messages.
    await pushed.close();
    expect(wakeUps(pushed)).toHaveLength(before + 2);
    const next = await startPushed(database.url, [Brief], { qstash, options: { qstash: { sweep: false } } });
    await database.query(`UPDATE durable.workflow_runs SET ready_at = now() - interval '2 minutes' WHERE status = 'pending'`);
    await database.query(`UPDATE durable.workflow_outbox SET next_at = now()`);
    await next.sweep();
    await waitFor(async () => (await next.client.count({ status: 'pending' })) === 0);
    await next.close();
    await qstash.close();
  });

  it('logs one line when QStash refuses messages of several runs, and publishes them again', async () => {
    const qstash = await QStashEmulator.start();
    const logger = new Lines();
    const pushed = await startPushed(database.url, [Brief], { qstash, logger, options: { qstash: { sweep: false } } });
    qstash.setFaults({ failMember: 1 });
    const handles = await pushed.client.startMany(Brief, [1, 2, 3]);
    const more = await pushed.client.startMany(Brief, [4, 5]);
    const told = logger.lines.filter((line) => line.includes('qstash: refused'));
    expect(told).toEqual([
      `qstash: refused 3 wake-ups; retrying, then leaving them to the sweep: for example of run "${handles[0]!.runId}": internal server error [qstash-wake-ups-refused]`,
    ]);
    qstash.setFaults({ failMember: 0 });
    // There is no sweep. The publisher sends refused messages again.
    await expect(Promise.all([...handles, ...more].map((handle) => handle.result({ timeout: seconds(30) })))).resolves.toHaveLength(5);
    await pushed.close();
    await qstash.close();
  });

  it('publishes a message without a sweep when QStash is reachable again', async () => {
    // No outgoing connection takes such a port while nobody listens on it.
    const port = await freePort();
    const first = await QStashEmulator.start({ port });
    const { token, currentSigningKey, nextSigningKey } = first;
    const pushed = await startPushed(database.url, [Brief], { qstash: first, options: { qstash: { sweep: false } } });
    await first.close();
    const began = performance.now();
    const handle = await pushed.client.start(Brief, 4);
    expect(performance.now() - began).toBeLessThan(5_000 * PATIENCE);
    const second = await QStashEmulator.start({ port, token, currentSigningKey, nextSigningKey });
    await expect(handle.result({ timeout: seconds(20) })).resolves.toBe(8);
    await pushed.close();
    await second.close();
  });

  it('passes waitUntil the promise of its messages, and publishes them even when waitUntil throws', async () => {
    const kept: Promise<unknown>[] = [];
    let isRefused = false;
    const waitUntil = (promise: Promise<unknown>): void => {
      if (isRefused) throw new Error('no request is under way');
      kept.push(promise);
    };
    const logger = new Lines();
    const pushed = await startPushed(database.url, [Brief], { logger, options: { qstash: { waitUntil } } });
    await Promise.all(kept.splice(0));
    const handle = await pushed.client.start(Brief, 5);
    expect(kept.length).toBeGreaterThan(0);
    await Promise.all(kept);
    expect(wakeUps(pushed)).toHaveLength(1);
    expect(await handle.result({ timeout: seconds(10) })).toBe(10);
    isRefused = true;
    expect(await (await pushed.client.start(Brief, 6)).result({ timeout: seconds(10) })).toBe(12);
    expect(logger.has('qstash: waitUntil failed')).toBe(true);
    await pushed.close();
    const other = await startPushed(database.url, [Brief], { options: { qstash: { waitUntil } } });
    expect(await (await other.client.start(Brief, 7)).result({ timeout: seconds(10) })).toBe(14);
    await other.close();
  });
});
