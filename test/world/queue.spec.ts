import { afterEach, beforeAll, afterAll, describe, expect, it } from '@jest/globals';

import type { DeliveryMeta, QueueHandler, World, WorldOptions } from '../../src/world/index.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { waitFor } from '../support/wait.js';
import { bytes, createTestWorld, deliverTo, newId, refusalOf, serve, startRun, type ServedRoutes } from './support/test-world.js';

const QUEUE = '__wkf_workflow_test';

interface Delivery {
  readonly message: unknown;
  readonly meta: DeliveryMeta;
  readonly at: number;
}

describe('the queue of a World', () => {
  let database: TestDatabase;
  let world: World;
  let routes: ServedRoutes;
  let close: (() => Promise<void>) | undefined;
  const deliveries: Delivery[] = [];

  beforeAll(async () => {
    database = await createTestDatabase();
  });

  afterAll(() => database.drop());

  afterEach(async () => {
    await close?.();
    deliveries.length = 0;
    await database.query('TRUNCATE durable_world.world_messages');
  });

  const start = async (handler: QueueHandler, options: WorldOptions = {}): Promise<void> => {
    const recorded: QueueHandler = (message, meta) => {
      deliveries.push({ message, meta, at: Date.now() });
      return handler(message, meta);
    };
    ({ world, routes, close } = await deliverTo('stable', { databaseUrl: database.url, ...options }, recorded));
  };

  const delivered = (count: number): Promise<true> =>
    waitFor(() => (deliveries.length >= count ? (true as const) : undefined), { timeoutMs: 60_000 });
  const messages = (): Promise<{ failures: number; due: number }[]> =>
    database.query('SELECT failures, extract(epoch FROM due_at - now())::float8 AS due FROM durable_world.world_messages');
  const consumed = (): Promise<boolean | undefined> => waitFor(async () => ((await messages()).length === 0 ? true : undefined));

  it('seed: bytes. Hands over bytes and dates as they were put in', async () => {
    await start(() => Promise.resolve());
    const message = { runId: newId(), runInput: { input: bytes(0, 1, 255), at: new Date(5), odd: { $date: 1 } } };
    await world.queue(QUEUE, message);
    await delivered(1);
    expect(deliveries[0]!.message).toEqual(message);
    await consumed();
  });

  it('seed: delays. Delivers a message when it is due, and not before', async () => {
    await start(() => Promise.resolve());
    const queuedAt = Date.now();
    await world.queue(QUEUE, { runId: newId() }, { delaySeconds: 1 });
    await delivered(1);
    expect(deliveries[0]!.at - queuedAt).toBeGreaterThan(900);
  });

  it('seed: headers. Passes headers on with the request', async () => {
    await start(() => Promise.resolve());
    await world.queue(QUEUE, { runId: newId() }, { headers: { traceparent: '00-a-b-01', host: 'elsewhere' } });
    await delivered(1);
    expect(routes.headers[0]).toMatchObject({ traceparent: '00-a-b-01' });
    expect(routes.headers[0]!['host']).not.toBe('elsewhere');
  });

  it('seed: redelivery. Delivers the same message again after the asked time, with the same id and attempt', async () => {
    await start(() => Promise.resolve(deliveries.length < 3 ? { timeoutSeconds: 1 } : undefined));
    const { messageId } = await world.queue(QUEUE, { runId: newId() });
    await delivered(3);
    expect(deliveries.map(({ meta }) => [meta.messageId, meta.attempt])).toEqual([1, 2, 3].map(() => [messageId, 1]));
    expect(deliveries[1]!.at - deliveries[0]!.at).toBeGreaterThan(900);
    await consumed();
  });

  it('seed: attempts. Counts failed deliveries, and backs off', async () => {
    let finish = (): void => undefined;
    // The second delivery lasts until the test has read the pause, however long the test stalls.
    const gate = new Promise<void>((resolve) => (finish = resolve));
    await start(() => (deliveries.length < 2 ? Promise.reject(new Error('not now')) : gate));
    const { messageId } = await world.queue(QUEUE, { runId: newId() });
    const [failed] = await waitFor(async () => {
      const found = await database.query<{ pause: number }>(
        'SELECT extract(epoch FROM due_at - arranged_at)::float8 AS pause FROM durable_world.world_messages WHERE failures = 1',
      );
      return found.length === 1 ? found : undefined;
    });
    expect(failed!.pause).toBeGreaterThan(1);
    await database.query('UPDATE durable_world.world_messages SET due_at = now() WHERE lease IS NULL');
    await delivered(2);
    expect(deliveries.map(({ meta }) => [meta.messageId, meta.attempt])).toEqual([
      [messageId, 1],
      [messageId, 2],
    ]);
    finish();
  });

  it('never gives a message up', async () => {
    await start(() => (deliveries.length === 1 ? Promise.reject(new Error('again')) : Promise.resolve()));
    await database.query(
      `INSERT INTO durable_world.world_messages (message_id, queue, deployment_id, body, failures, due_at, created_at)
       VALUES ('msg_old', '${QUEUE}', 'default', '{}', 60, now(), now())`,
    );
    await delivered(1);
    expect(deliveries[0]!.meta.attempt).toBe(61);
    await waitFor(async () => ((await messages())[0]?.failures === 61 ? true : undefined));
  });

  it('adds no second message with a key until the first is consumed', async () => {
    let finish = (): void => undefined;
    const gate = new Promise<void>((resolve) => (finish = resolve));
    await start(() => gate);
    const runId = newId();
    const put = (): Promise<{ messageId: string }> => world.queue(QUEUE, { runId }, { idempotencyKey: 'step_1' });
    const ids = new Set((await Promise.all(Array.from({ length: 10 }, put))).map(({ messageId }) => messageId));
    expect(ids.size).toBe(1);
    await delivered(1);
    expect((await put()).messageId).toBe([...ids][0]);
    finish();
    await consumed();
    expect(ids).not.toContain((await put()).messageId);
    await delivered(2);
  });

  it('keeps a message for as long as its delivery runs, also beside a second delivery', async () => {
    let finish = (): void => undefined;
    const gate = new Promise<void>((resolve) => (finish = resolve));
    await start(() => (deliveries.length === 1 ? gate : Promise.reject(new Error('the second delivery'))));
    await world.queue(QUEUE, { runId: newId() });
    await delivered(1);
    // Another worker takes the message over, as after a stall, and fails. A heartbeat of the first
    // delivery may come before.
    await waitFor(async () => {
      await database.query('UPDATE durable_world.world_messages SET due_at = now() WHERE failures = 0');
      return deliveries.length >= 2;
    });
    await waitFor(async () => ((await messages())[0]?.failures ?? 0) >= 2);
    finish();
    await database.query('UPDATE durable_world.world_messages SET due_at = now() WHERE lease IS NULL');
    await delivered(3);
  });

  it('seed: signatures. Refuses a delivery without the lease of its message', async () => {
    await start(() => Promise.resolve());
    const { messageId } = await world.queue(QUEUE, { runId: newId() }, { delaySeconds: 3_600 });
    const post = async (headers: Record<string, string>): Promise<number> =>
      (await fetch(`${routes.url}/.well-known/workflow/v1/flow`, { method: 'POST', headers, body: '{}' })).status;
    expect(await post({})).toBe(400);
    expect(await post({ 'x-durable-message': messageId, 'x-durable-lease': 'guessed' })).toBe(401);
    expect(deliveries).toEqual([]);
  });

  it('delivers a message when the application listens at last', async () => {
    let isOpen = false;
    const answer: { handler?: (request: Request) => Promise<Response> } = {};
    routes = await serve((request) => (isOpen ? answer.handler!(request) : Promise.resolve(new Response('not yet', { status: 404 }))));
    world = createTestWorld('stable', { databaseUrl: database.url, baseUrl: routes.url, pollIntervalMs: 100 });
    answer.handler = world.createQueueHandler('__wkf_workflow_', (message, meta) => {
      deliveries.push({ message, meta, at: Date.now() });
      return Promise.resolve();
    });
    close = async () => {
      await world.close();
      await routes.close();
    };
    await world.start();
    await world.queue(QUEUE, { runId: newId() });
    await waitFor(() => (routes.headers.length >= 2 ? true : undefined));
    isOpen = true;
    await delivered(1);
    // A delivery that did not reach the kit is no attempt.
    expect(deliveries[0]!.meta.attempt).toBe(1);
  });

  it('refuses names of queues and messages that the kit does not make', async () => {
    await start(() => Promise.resolve());
    for (const name of ['other', '__wkf_workflow_', '__wkf_other_x', 7 as unknown as string])
      expect(await refusalOf(world.queue(name, {}))).toEqual({ name: 'WorkflowWorldError', status: 400 });
    expect(await refusalOf(world.queue(QUEUE, undefined))).toMatchObject({ status: 400 });
    await world.queue('__app_wkf_step_./a@1//b(c)[d]', { workflowRunId: newId(), stepId: 'step_1' }, { delaySeconds: 60 });
    expect(await messages()).toHaveLength(1);
  });

  it('refuses headers that no request can carry, which would keep the message from being delivered', async () => {
    await start(() => Promise.resolve());
    const bad: unknown[] = [{ 'a b': 'x' }, { a: 'x\ny' }, { a: 7 }, 'traceparent'];
    for (const headers of bad)
      expect(await refusalOf(world.queue(QUEUE, {}, { headers: headers as Record<string, string> }))).toMatchObject({ status: 400 });
    expect(await refusalOf(world.queue(QUEUE, {}, { idempotencyKey: 7 as unknown as string }))).toMatchObject({ status: 400 });
    expect(await messages()).toEqual([]);
  });

  it('closes while a delivery goes on, and leaves its message to other processes', async () => {
    let finish = (): void => undefined;
    const gate = new Promise<void>((resolve) => (finish = resolve));
    await start(() => gate, { shutdownTimeoutMs: 50 });
    await world.queue(QUEUE, { runId: newId() });
    await delivered(1);
    await world.close();
    const [left] = await messages();
    expect(left).toMatchObject({ failures: 0 });
    await close?.();
    // As when the lease has expired.
    await database.query('UPDATE durable_world.world_messages SET due_at = now()');
    await start(() => Promise.resolve());
    await delivered(2);
    expect(deliveries[1]!.meta).toMatchObject({ messageId: deliveries[0]!.meta.messageId, attempt: 2 });
    finish();
  });

  it('delivers only the messages of its own deployment', async () => {
    await start(() => Promise.resolve(), { deploymentId: 'one' });
    await world.queue(QUEUE, { runId: newId(), other: true }, { deploymentId: 'two' });
    await world.queue(QUEUE, { runId: newId() });
    await delivered(1);
    expect(deliveries[0]!.message).not.toHaveProperty('other');
    await waitFor(async () => ((await messages()).length === 1 ? true : undefined));
  });

  it('gives a message to a run that sleeps beside a hook whose message was lost', async () => {
    const early = createTestWorld('stable', { databaseUrl: database.url });
    const runId = await startRun(early);
    const event = (eventType: string, eventData: Record<string, unknown>): Promise<unknown> =>
      early.events.create(runId, { eventType, correlationId: 'hook_1', specVersion: 3, eventData });
    await event('hook_created', { token: runId });
    const { messageId } = await early.queue(QUEUE, { runId, sleeps: true }, { delaySeconds: 3_600 });
    await event('hook_received', { payload: bytes(1) });
    await early.close();
    // The World starts after the events. A sweep between them would add a message to the first one.
    await start(() => Promise.resolve(), { recoverAfterMs: 200 });
    await waitFor(() => deliveries.some(({ message }) => JSON.stringify(message) === JSON.stringify({ runId })));
    const left = await database.query('SELECT message_id FROM durable_world.world_messages');
    expect(left).toContainEqual({ message_id: messageId });
  });

  it('gives a message to a run that has lost its own, once for each place of its history', async () => {
    const early = createTestWorld('stable', { databaseUrl: database.url });
    const runId = await startRun(early);
    await early.close();
    // The World starts after the run's events. A sweep between them would add another message.
    await start(() => Promise.resolve(), { recoverAfterMs: 200 });
    await delivered(1);
    expect(deliveries[0]!.message).toEqual({ runId });
    await consumed();
    const eventData = { token: runId };
    await world.events.create(runId, { eventType: 'hook_created', correlationId: 'hook_1', specVersion: 3, eventData });
    await delivered(2);
    await consumed();
    const [swept] = await database.query('SELECT swept_slot = last_slot AS done FROM durable_world.world_runs WHERE run_id = $1', [runId]);
    expect(swept).toEqual({ done: true });
  });
});
