import { afterEach, beforeEach, expect, it, jest } from '@jest/globals';
import { Client, QstashDailyRatelimitError, QstashError, QstashRatelimitError } from '@upstash/qstash';

import { type Bench, openBench } from './emulator-bench.js';

let bench: Bench;

beforeEach(async () => {
  bench = await openBench();
  // The SDK writes every refusal to the console.
  jest.spyOn(console, 'error').mockImplementation(() => undefined);
});

afterEach(async () => {
  jest.restoreAllMocks();
  await bench.close();
});

it('the emulator delivers a message with its headers and the exact bytes of its body', async () => {
  const { client, endpoint, qstash } = bench;
  const { messageId } = await client.publish({
    url: `${endpoint.url}/wake?run=1&x=%2F`,
    body: '{ "a":  "ä\\u0000" }\n',
    headers: { 'content-type': 'application/vnd.test+json', 'x-tenant': 'acme', authorization: 'Basic abc' },
  });
  expect(endpoint.received).toEqual([]);
  await qstash.settled();
  const [request] = endpoint.received;
  expect(request).toMatchObject({ method: 'POST', path: '/wake?run=1&x=%2F', body: '{ "a":  "ä\\u0000" }\n' });
  expect(request!.headers).toMatchObject({
    'content-type': 'application/vnd.test+json',
    'x-tenant': 'acme',
    authorization: 'Basic abc',
    'upstash-message-id': messageId,
    'upstash-retried': '0',
    'user-agent': 'Upstash-QStash',
  });
  expect(qstash.messages).toMatchObject([{ messageId, state: 'delivered', attempts: 1 }]);
  expect(qstash.deliveries).toMatchObject([{ messageId, attempt: 0, status: 200, outcome: 'delivered' }]);
  expect(qstash.stats()).toMatchObject({ published: 1, delivered: 1, failed: 0 });
});

it('the emulator delivers a body that is not text', async () => {
  const { client, endpoint, qstash } = bench;
  const bytes = Buffer.from([0, 255, 128, 10, 13]);
  await client.publish({ url: endpoint.url, body: new Blob([bytes]) as never });
  await qstash.settled();
  expect(endpoint.received[0]!.bytes).toEqual(bytes);
});

it('the emulator uses the method of the message', async () => {
  await bench.client.publish({ url: bench.endpoint.url, method: 'PUT' });
  await bench.qstash.settled();
  expect(bench.endpoint.received[0]!.method).toBe('PUT');
});

it('the emulator refuses a wrong token', async () => {
  const stranger = new Client({ baseUrl: bench.qstash.url, token: 'wrong', devMode: false, retry: false });
  await expect(stranger.publishJSON({ url: bench.endpoint.url, body: {} })).rejects.toMatchObject({ name: 'QstashError', status: 401 });
});

it.each([
  ['a destination without a scheme', { url: 'example.com' }],
  ['a bad delay', { url: 'http://example.com', delay: 'soon' as '1s' }],
  ['a bad retry delay', { url: 'http://example.com', retryDelay: 'process.exit()' }],
])('the emulator refuses %s', async (_, request) => {
  const error: unknown = await bench.client.publish(request).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(QstashError);
  expect((error as QstashError).status).toBe(400);
  expect(JSON.parse((error as Error).message)).toEqual({ error: expect.any(String) });
  expect(bench.qstash.messages).toEqual([]);
});

it('the emulator answers 404 for unknown ids and paths', async () => {
  const { client } = bench;
  for (const asking of [
    client.messages.get('msg_x'),
    client.schedules.get('x'),
    client.queue({ queueName: 'x' }).get(),
    client.dlq.delete('x'),
    client.flowControl.get('x'),
    client.http.request({ path: ['v2', 'nothing'] }),
  ]) {
    await expect(asking).rejects.toMatchObject({ status: 404 });
  }
});

it('the emulator delivers a delayed message when it is due, and not before', async () => {
  const { client, endpoint, qstash } = bench;
  await client.publishJSON({ url: endpoint.url, body: 'late', delay: '1h' });
  await client.publishJSON({ url: endpoint.url, body: 'soon', delay: 90 });
  await qstash.settled();
  expect(endpoint.bodies).toEqual([]);
  await qstash.advance('89s');
  expect(endpoint.bodies).toEqual([]);
  await qstash.advance('1s');
  expect(endpoint.bodies).toEqual(['"soon"']);
  await qstash.advance('1h');
  expect(endpoint.bodies).toEqual(['"soon"', '"late"']);
});

it('the emulator prefers notBefore to delay', async () => {
  const { client, endpoint, qstash } = bench;
  const inAMinute = Math.ceil(qstash.now.getTime() / 1_000) + 60;
  await client.publishJSON({ url: endpoint.url, body: {}, delay: '1h', notBefore: inAMinute });
  await qstash.advance('58s');
  expect(endpoint.received).toHaveLength(0);
  await qstash.advance('3s');
  expect(endpoint.received).toHaveLength(1);
  expect(qstash.deliveries[0]!.startedAt.getTime()).toBe(inAMinute * 1_000);
});

it('the emulator deduplicates an id for ten minutes, even after the message has failed', async () => {
  const { client, endpoint, qstash } = bench;
  endpoint.behave = () => 500;
  const publish = () => client.publishJSON({ url: endpoint.url, body: {}, deduplicationId: 'run.1', retries: 0 });
  const first = await publish();
  await qstash.advance('9m');
  expect(await publish()).toEqual({ messageId: first.messageId, deduplicated: true });
  await qstash.advance('1m');
  expect((await publish()).messageId).not.toBe(first.messageId);
  expect(qstash.stats()).toMatchObject({ published: 2, deduplicated: 1, deadLettered: 1 });
});

it('the emulator deduplicates by content on request', async () => {
  const { client, endpoint } = bench;
  const publish = (body: string) => client.publishJSON({ url: endpoint.url, body, contentBasedDeduplication: true });
  const first = await publish('a');
  expect(await publish('a')).toMatchObject({ messageId: first.messageId, deduplicated: true });
  expect(await publish('b')).not.toHaveProperty('deduplicated');
});

it('the emulator answers each member of a batch with an id or an error', async () => {
  const { client, endpoint, qstash } = bench;
  const results = await client.batchJSON([
    { url: `${endpoint.url}/a`, body: { n: 1 }, deduplicationId: 'once' },
    { url: 'nowhere', body: {} },
    { url: `${endpoint.url}/a`, body: { n: 2 }, deduplicationId: 'once' },
    { url: `${endpoint.url}/q`, body: { n: 3 }, queueName: 'orders', headers: { 'x-one': '1' } },
  ]);
  const [first] = results as { messageId: string }[];
  expect(results).toEqual([
    { messageId: expect.any(String) },
    { error: expect.stringContaining('nowhere') },
    { messageId: first!.messageId, deduplicated: true },
    { messageId: expect.any(String) },
  ]);
  await qstash.settled();
  expect(endpoint.received.map(({ path, body }) => [path, body])).toEqual([
    ['/a', '{"n":1}'],
    ['/q', '{"n":3}'],
  ]);
  expect(endpoint.received[1]!.headers).toMatchObject({ 'content-type': 'application/json', 'x-one': '1' });
  expect(qstash.messages[1]).toMatchObject({ queue: 'orders' });
});

it('the emulator shows and cancels messages that are not delivered yet', async () => {
  const { client, endpoint, qstash } = bench;
  const publish = (delay: number, label: string) =>
    client.publishJSON({ url: endpoint.url, body: { delay }, delay, label, retries: 1, retryDelay: '1000' });
  const [one, two, three, four] = [await publish(10, 'a'), await publish(20, 'a'), await publish(30, 'b'), await publish(40, 'c')];
  expect(await client.messages.get(one.messageId)).toMatchObject({
    messageId: one.messageId,
    url: endpoint.url,
    method: 'POST',
    body: '{"delay":10}',
    header: { 'content-type': ['application/json'] },
    maxRetries: 1,
    retryDelayExpression: '1000',
    createdAt: qstash.now.getTime(),
    notBefore: qstash.now.getTime() + 10_000,
    labels: ['a'],
  });
  expect(await client.messages.cancel(one.messageId)).toEqual({ cancelled: 1 });
  await expect(client.messages.get(one.messageId)).rejects.toMatchObject({ status: 404 });
  expect(await client.messages.cancel({ filter: { label: ['a', 'x'] } })).toEqual({ cancelled: 1 });
  expect(await client.messages.cancel([three.messageId, 'msg_unknown'])).toEqual({ cancelled: 1 });
  expect(await client.messages.cancel({ all: true })).toEqual({ cancelled: 1 });
  await qstash.advance('1h');
  expect(endpoint.received).toEqual([]);
  expect(qstash.messages.map(({ state }) => state)).toEqual(Array(4).fill('cancelled'));
  expect([two, four]).toHaveLength(2);
});

it('the emulator lists its log in pages, newest entries first', async () => {
  const { client, endpoint, qstash } = bench;
  endpoint.behave = ({ headers }) => (headers['upstash-retried'] === '0' ? 500 : 200);
  const { messageId } = await client.publishJSON({ url: endpoint.url, body: {} });
  await client.publishJSON({ url: `${endpoint.url}/other`, body: {}, delay: '1d' });
  await qstash.advance('1m');
  const { logs } = await client.logs({ messageIds: [messageId] });
  expect(logs.map(({ state }) => state)).toEqual(['DELIVERED', 'ACTIVE', 'RETRY', 'ERROR', 'ACTIVE', 'CREATED']);
  expect(logs[2]).toMatchObject({ nextDeliveryTime: logs[2]!.time + 12_182, error: 'status 500' });
  const first = await client.logs({ count: 5 });
  const second = await client.logs({ count: 5, cursor: first.cursor! });
  expect([first.logs.length, second.logs.length, second.cursor]).toEqual([5, 2, undefined]);
  expect((await client.events({ filter: { state: 'DELIVERED' } })).events).toMatchObject([{ messageId }]);
});

it('the emulator refuses requests beyond the limits of the plan with the errors of the SDK', async () => {
  const { client, endpoint, qstash } = bench;
  const publish = () => client.publishJSON({ url: endpoint.url, body: {} });
  qstash.setLimits({ messagesPerDay: 2 });
  await publish();
  await publish();
  const daily: unknown = await publish().catch((error: unknown) => error);
  expect(daily).toBeInstanceOf(QstashDailyRatelimitError);
  expect(daily).toMatchObject({ status: 429, limit: '2', remaining: '0' });
  await qstash.advance('1d');
  await publish();
  qstash.setLimits({ requestsPerSecond: 1 });
  await qstash.advance('1s');
  await publish();
  await expect(publish()).rejects.toBeInstanceOf(QstashRatelimitError);
  await qstash.advance('1s');
  await publish();
  qstash.setLimits({ delay: '7d', messageBytes: 100 });
  await expect(client.publish({ url: endpoint.url, delay: '8d' })).rejects.toMatchObject({ status: 400 });
  await expect(client.publish({ url: endpoint.url, body: 'x'.repeat(101) })).rejects.toMatchObject({ status: 413 });
  await client.publish({ url: endpoint.url, delay: '7d', body: 'x'.repeat(100) });
});

it('the emulator sends every answer to the callback of the message', async () => {
  const { client, endpoint, qstash } = bench;
  endpoint.behave = ({ path, headers }) => {
    if (path !== '/work') return 200;
    return headers['upstash-retried'] === '0' ? { status: 503, body: 'not yet' } : { status: 201, body: 'done', headers: { 'x-a': 'b' } };
  };
  const { messageId } = await client.publishJSON({
    url: `${endpoint.url}/work`,
    body: { n: 1 },
    callback: `${endpoint.url}/callback`,
    headers: { 'Upstash-Callback-Forward-X-Token': 'secret' },
  });
  await qstash.advance('1m');
  const told = endpoint.received.filter(({ path }) => path === '/callback');
  expect(told.map(({ body }) => JSON.parse(body) as unknown)).toMatchObject([
    { status: 503, body: btoa('not yet'), retried: 0, maxRetries: 3, sourceMessageId: messageId },
    { status: 201, body: btoa('done'), retried: 1, header: { 'x-a': ['b'] }, sourceBody: btoa('{"n":1}'), url: `${endpoint.url}/work` },
  ]);
  expect(told[0]!.headers).toMatchObject({ 'x-token': 'secret', 'content-type': 'application/json' });
  await expect(bench.receiver.verify({ signature: told[0]!.headers['upstash-signature'] as string, body: told[0]!.body })).resolves.toBe(
    true,
  );
});

it('the emulator forgets everything at clear()', async () => {
  const { client, endpoint, qstash } = bench;
  await client.publishJSON({ url: endpoint.url, body: {}, deduplicationId: 'x', delay: '1m' });
  await client.schedules.create({ destination: endpoint.url, cron: '* * * * *' });
  qstash.clear();
  await qstash.advance('1h');
  expect(endpoint.received).toEqual([]);
  expect([qstash.messages, qstash.deliveries, qstash.stats().published, await client.schedules.list()]).toEqual([[], [], 0, []]);
  expect(await client.publishJSON({ url: endpoint.url, body: {}, deduplicationId: 'x' })).not.toHaveProperty('deduplicated');
});
