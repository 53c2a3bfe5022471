import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { QStashEmulator } from '../../src/testing/index.js';
import type { DeliveryMeta, QueueHandler, World } from '../../src/world/index.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { waitFor } from '../support/wait.js';
import { bytes, createTestWorld, deliverTo, newId, startRun, type ServedRoutes } from './support/test-world.js';

const QUEUE = '__wkf_workflow_test';
const FLOW = '/.well-known/workflow/v1/flow';

describe('a World that QStash calls', () => {
  let database: TestDatabase;
  let qstash: QStashEmulator;
  let world: World;
  let routes: ServedRoutes;
  let close: (() => Promise<void>) | undefined;
  const deliveries: { message: unknown; meta: DeliveryMeta; at: number }[] = [];

  beforeAll(async () => {
    database = await createTestDatabase();
    qstash = await QStashEmulator.start();
  });

  afterAll(async () => {
    await qstash.close();
    await database.drop();
  });

  afterEach(async () => {
    await close?.();
    close = undefined;
    deliveries.length = 0;
    await database.query('TRUNCATE durable_world.world_messages');
  });

  const start = async (handler: QueueHandler): Promise<void> => {
    const { QSTASH_URL, QSTASH_TOKEN, QSTASH_CURRENT_SIGNING_KEY, QSTASH_NEXT_SIGNING_KEY } = qstash.env();
    const keys = { currentSigningKey: QSTASH_CURRENT_SIGNING_KEY, nextSigningKey: QSTASH_NEXT_SIGNING_KEY };
    const recorded: QueueHandler = (message, meta) => {
      deliveries.push({ message, meta, at: Date.now() });
      return handler(message, meta);
    };
    ({ world, routes, close } = await deliverTo(
      'stable',
      (url) => ({
        databaseUrl: database.url,
        recoverAfterMs: 1,
        qstash: { url: QSTASH_URL, token: QSTASH_TOKEN, targetUrl: url, ...keys },
      }),
      recorded,
    ));
  };

  const delivered = (count: number): Promise<true> =>
    waitFor(() => (deliveries.length >= count ? (true as const) : undefined), { timeoutMs: 60_000 });
  const consumed = (): Promise<true> =>
    waitFor(async () => ((await database.query('SELECT FROM durable_world.world_messages')).length === 0 ? (true as const) : undefined));

  /** Posts a body as QStash does. */
  const post = async (body: object, signedFor = `${routes.url}${FLOW}`, path = FLOW): Promise<number> => {
    const text = JSON.stringify(body);
    const headers = { 'upstash-signature': qstash.sign({ url: signedFor, body: text }), 'content-type': 'application/json' };
    return (await fetch(`${routes.url}${path}`, { method: 'POST', headers, body: text })).status;
  };

  it('delivers messages with their bytes, once each', async () => {
    await start(() => Promise.resolve());
    const message = { runId: newId(), input: bytes(0, 255) };
    await world.queue(QUEUE, message);
    await delivered(1);
    await consumed();
    expect(deliveries.map((each) => each.message)).toEqual([message]);
  });

  it('seed: headers. Passes headers on with each request', async () => {
    await start(() => Promise.resolve(deliveries.length === 1 ? { timeoutSeconds: 0 } : undefined));
    const headers = { traceparent: '00-a-b-01', 'content-type': 'text/plain', 'upstash-delay': '7d' };
    await world.queue(QUEUE, { runId: newId() }, { headers });
    await delivered(2);
    // A call of the sweep may be among the requests.
    const passed = routes.headers.filter(({ traceparent }) => traceparent === '00-a-b-01');
    expect(passed.map((each) => each['content-type']).slice(0, 2)).toEqual(['application/json', 'application/json']);
  });

  it('seed: delays. Delivers a message when it is due', async () => {
    await start(() => Promise.resolve());
    const queuedAt = Date.now();
    await world.queue(QUEUE, { runId: newId() }, { delaySeconds: 1 });
    await delivered(1);
    expect(deliveries[0]!.at - queuedAt).toBeGreaterThan(900);
  });

  it('seed: redelivery. Delivers a message again as often as the kit asks for it', async () => {
    await start(() => Promise.resolve(deliveries.length < 4 ? { timeoutSeconds: 0 } : undefined));
    const { messageId } = await world.queue(QUEUE, { runId: newId() });
    await delivered(4);
    expect(deliveries.map(({ meta }) => [meta.messageId, meta.attempt])).toEqual([1, 2, 3, 4].map(() => [messageId, 1]));
    await consumed();
  });

  it('seed: attempts. Counts failed deliveries itself', async () => {
    await start(() => (deliveries.length === 1 ? Promise.reject(new Error('not now')) : Promise.resolve()));
    await world.queue(QUEUE, { runId: newId() });
    await delivered(2);
    expect(deliveries.map(({ meta }) => meta.attempt)).toEqual([1, 2]);
  });

  it('seed: signatures. Refuses what QStash has not signed for this address', async () => {
    await start(() => Promise.resolve());
    const { messageId } = await world.queue(QUEUE, { runId: newId() }, { delaySeconds: 3_600 });
    await database.query('UPDATE durable_world.world_messages SET due_at = now()');
    expect(await post({ messageId }, 'https://elsewhere.example/')).toBe(401);
    expect(deliveries).toEqual([]);
    expect(await post({ messageId })).toBe(200);
    expect(deliveries).toHaveLength(1);
    // The same announcement again, as QStash may deliver it.
    expect(await post({ messageId })).toBe(200);
    expect(deliveries).toHaveLength(1);
  });

  it('takes a delivery whose path a proxy has changed', async () => {
    await start(() => Promise.resolve());
    const { messageId } = await world.queue(QUEUE, { runId: newId() }, { delaySeconds: 3_600 });
    await database.query('UPDATE durable_world.world_messages SET due_at = now()');
    expect(await post({ messageId }, `${routes.url}${FLOW}`, `/behind/a/proxy${FLOW}`)).toBe(200);
    expect(deliveries).toHaveLength(1);
  });

  it('uses a key again once its message is consumed, which deduplication would swallow', async () => {
    await start(() => Promise.resolve());
    const runId = newId();
    for (let count = 1; count <= 3; count++) {
      await world.queue(QUEUE, { runId }, { idempotencyKey: 'step_1' });
      await delivered(count);
      await consumed();
    }
  });

  it('creates its schedule at the start, whose sweep finds lost messages and lost runs', async () => {
    await start(() => Promise.resolve());
    const schedules = (await (
      await fetch(`${qstash.url}/v2/schedules`, { headers: { authorization: `Bearer ${qstash.token}` } })
    ).json()) as { destination: string }[];
    expect(schedules.map(({ destination }) => destination)).toContain(`${routes.url}${FLOW}`);
    const runId = await startRun(world);
    await database.query(
      `INSERT INTO durable_world.world_messages (message_id, queue, deployment_id, body, due_at, created_at)
       VALUES ('msg_lost', '${QUEUE}', 'default', '{"lost": true}', now() - interval '1 minute', now())`,
    );
    // The schedule may sweep by itself between the two events of the start, and add a message.
    await waitFor(async () => {
      expect(await post({ sweep: true })).toBe(200);
      const messages = deliveries.map(({ message }) => message);
      expect(messages).toContainEqual({ lost: true });
      expect(messages).toContainEqual({ runId });
      return true;
    });
  });

  it('gives each lost run one message, and announces each overdue message once, when sweeps meet', async () => {
    // Nothing is delivered, so that what the sweeps do stays visible.
    const unreachable = 'http://localhost:9';
    const { QSTASH_URL, QSTASH_TOKEN, QSTASH_CURRENT_SIGNING_KEY, QSTASH_NEXT_SIGNING_KEY } = qstash.env();
    const keys = { currentSigningKey: QSTASH_CURRENT_SIGNING_KEY, nextSigningKey: QSTASH_NEXT_SIGNING_KEY };
    const settings = { url: QSTASH_URL, token: QSTASH_TOKEN, targetUrl: unreachable, ...keys };
    const worlds = [1, 2].map(() => createTestWorld('stable', { databaseUrl: database.url, recoverAfterMs: 1, qstash: settings }));
    try {
      const sweeps = worlds.map((each) => each.createQueueHandler('__wkf_workflow_', () => Promise.resolve()));
      const runs = await Promise.all(Array.from({ length: 40 }, () => startRun(worlds[0]!)));
      await database.query(
        `INSERT INTO durable_world.world_messages (message_id, queue, deployment_id, body, due_at, created_at, arranged_at)
         SELECT 'msg_late_' || n, '${QUEUE}', 'default', '{}', now() - interval '1 minute', now(), now() - interval '1 minute'
         FROM generate_series(1, 40) n`,
      );
      const body = JSON.stringify({ sweep: true });
      const sweep = (handle: (request: Request) => Promise<Response>): Promise<Response> =>
        handle(
          new Request(`${unreachable}${FLOW}`, {
            method: 'POST',
            body,
            headers: { 'upstash-signature': qstash.sign({ url: `${unreachable}${FLOW}`, body }) },
          }),
        );
      const answers = await Promise.all([...sweeps, ...sweeps, ...sweeps].map(sweep));
      expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 6 }, () => 200));
      const given = await database.query<{ run_id: string }>(
        'SELECT run_id FROM durable_world.world_messages WHERE run_id = ANY ($1::text[]) ORDER BY run_id',
        [runs],
      );
      expect(given.map(({ run_id }) => run_id)).toEqual(runs.toSorted());
      expect(
        await database.query(
          'SELECT count(*)::int AS messages, max(announced) AS most FROM durable_world.world_messages WHERE run_id IS NULL',
        ),
      ).toEqual([{ messages: 40, most: 1 }]);
      // As when the messages had been consumed: a place of the history gets one message for ever.
      await database.query('DELETE FROM durable_world.world_messages WHERE run_id IS NOT NULL');
      await Promise.all(sweeps.map(sweep));
      expect(await database.query('SELECT FROM durable_world.world_messages WHERE run_id IS NOT NULL')).toEqual([]);
    } finally {
      await Promise.all(worlds.map((each) => each.close()));
    }
  });
});
