import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { defineSignal, Workflow, type WorkflowContext } from '../../src/index.js';
import { closeApplications } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { startPushed, type PushedApplication } from '../support/pushed-application.js';
import { seconds, waitFor } from '../support/wait.js';

const go = defineSignal('go');
let bodies = 0;

@Workflow({ name: 'counted' })
class Counted {
  async run(_input: void, ctx: WorkflowContext): Promise<number> {
    await ctx.waitForSignal(go);
    return ctx.step('count', () => ++bodies);
  }
}

@Workflow({ name: 'sleeps' })
class Sleeps {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    await ctx.sleep('30m');
  }
}

interface Request {
  readonly path?: string;
  readonly body?: string;
  /** The signed values, when they differ from the sent ones. */
  readonly signed?: Partial<{ url: string; body: string; issuedAt: Date; signingKey: string }>;
  readonly headers?: Record<string, string>;
}

describe('the endpoint of QStash', () => {
  let database: TestDatabase;
  let pushed: PushedApplication;
  beforeAll(async () => {
    database = await createTestDatabase();
    pushed = await startPushed(database.url, [Counted, Sleeps]);
  });
  afterAll(async () => {
    await closeApplications();
    await database.drop();
  });

  const call = async (to: PushedApplication, { path = '/workflow/qstash', body = '{}', signed = {}, headers = {} }: Request) => {
    const url = `${to.targetUrl}${path}`;
    const signature = to.qstash.sign({ url, body, ...signed });
    const response = await fetch(url, {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json', 'upstash-signature': signature, ...headers },
    });
    return { status: response.status, body: await response.json(), headers: response.headers };
  };
  const message = (run: string): string => JSON.stringify({ v: 1, run, queue: 'default', seq: '0.0' });

  it('accepts a delivery that is signed with the next key', async () => {
    const body = message('nobody');
    const answer = await call(pushed, { body, signed: { signingKey: pushed.qstash.nextSigningKey } });
    expect(answer).toMatchObject({ status: 200, body: { status: 'nothing' } });
  });

  it('answers 200, and executes nothing, for deliveries of ended and unknown runs', async () => {
    const handle = await pushed.client.start(Counted);
    await waitFor(async () => (await handle.status()) === 'waiting');
    await handle.signal(go);
    await handle.result({ timeout: seconds(10) });
    const count = bodies;
    for (const body of [message(handle.runId), message(handle.runId), message('nobody')])
      expect(await call(pushed, { body })).toMatchObject({ status: 200, body: { status: 'nothing' } });
    expect(bodies).toBe(count);
  });

  it('publishes nothing for a duplicate of the first message of a sleeping run, and a new message for an early wake-up', async () => {
    const { runId } = await pushed.client.start(Sleeps);
    const ours = () => pushed.qstash.messages.filter(({ body }) => body.includes(runId));
    await waitFor(() => ours().length === 2);
    const [begin, end] = ours();
    for (let times = 0; times < 3; times++)
      expect(await call(pushed, { body: begin!.body })).toMatchObject({ status: 200, body: { status: 'nothing' } });
    expect(ours()).toHaveLength(2);
    // QStash deduplicates messages with the same id, which contains seconds.
    const secondOf = (): number => Math.floor(Date.now() / 1_000);
    const published = secondOf();
    await waitFor(() => secondOf() > published + 1);
    expect(await call(pushed, { body: end!.body })).toMatchObject({ status: 200, body: { status: 'early' } });
    expect(ours()).toHaveLength(3);
    await pushed.client.cancel(runId);
  });

  it.each([
    '{}',
    'no json',
    '{"v":2,"run":"x","queue":"q","seq":"1"}',
    '[]',
    '{"v":1,"run":"a\\u0000b","queue":"q","seq":"1"}',
    '{"v":1,"run":7}',
  ])('answers 489, so that QStash does not retry, for a body that is not a message: %s', async (body) => {
    const answer = await call(pushed, { body, headers: { 'content-type': body.startsWith('no') ? 'text/plain' : 'application/json' } });
    expect(answer.status).toBe(489);
    expect(answer.headers.get('upstash-nonretryable-error')).toBe('true');
  });

  it('executes a sweep that QStash delivers', async () => {
    const other = await startPushed(database.url, [Counted]);
    await other.sweep();
    await waitFor(() => other.qstash.deliveries.some(({ url, status }) => url.endsWith('/sweep') && status === 200));
  });

  it('completes the other parts of a sweep when QStash accepts no message', async () => {
    const [asleep, waits] = [await pushed.client.start(Counted, undefined, { delay: '2h' }), await pushed.client.start(Counted)];
    await waitFor(async () => (await waits.status()) === 'waiting');
    await database.query(`UPDATE durable.workflow_runs SET wake_at = now() - interval '10 seconds' WHERE id = $1`, [asleep.runId]);
    // The sender died before it could notify the run.
    const unheard = `INSERT INTO durable.workflow_inbox (run_id, kind, name, payload, created_at) VALUES ($1, 'signal', 'go', 'null', now() - interval '1 minute')`;
    await database.query(unheard, [waits.runId]);
    pushed.qstash.setFaults({ failPublish: 1 });
    const answer = await call(pushed, { path: '/workflow/qstash/sweep' });
    pushed.qstash.setFaults({});
    expect(answer).toMatchObject({ status: 200, body: { status: 'swept' } });
    expect([await asleep.status(), await waits.status()]).toEqual(['pending', 'pending']);
    await database.query(`UPDATE durable.workflow_runs SET ready_at = ready_at - interval '2 minutes'`);
    await pushed.sweep();
    await waits.result({ timeout: seconds(20) });
    await asleep.cancel();
  });
});
