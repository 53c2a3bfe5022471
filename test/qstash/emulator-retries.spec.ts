import { afterEach, beforeEach, expect, it } from '@jest/globals';

import { type Bench, openBench } from './emulator-bench.js';
import { seconds } from '../support/wait.js';

let bench: Bench;
let start: Date;

beforeEach(async () => {
  bench = await openBench();
  start = bench.qstash.now;
});

afterEach(async () => {
  await bench.close();
});

it('the emulator attempts a delivery at 0, 12, 161 and 1969 seconds, then gives up', async () => {
  const { client, endpoint, qstash, secondsOfDeliveries } = bench;
  endpoint.behave = () => ({ status: 500, body: 'broken', headers: { 'x-why': 'database' } });
  const { messageId } = await client.publishJSON({ url: endpoint.url, body: { a: 1 }, failureCallback: `${endpoint.url}/failed` });
  await qstash.advance('1 day');
  const attempts = qstash.deliveries.filter((delivery) => delivery.messageId === messageId);
  expect(attempts.map(({ startedAt }) => Math.round((startedAt.getTime() - start.getTime()) / 1_000))).toEqual([0, 12, 161, 1969]);
  expect(attempts.map(({ headers, attempt }) => [headers['upstash-retried'], attempt])).toEqual([
    ['0', 0],
    ['1', 1],
    ['2', 2],
    ['3', 3],
  ]);
  expect(secondsOfDeliveries(start)).toContain(1969);
  const { messages } = await client.dlq.listMessages();
  const letter = messages.find((one) => one.messageId === messageId)!;
  expect(letter).toMatchObject({ url: endpoint.url, body: '{"a":1}', responseStatus: 500, responseBody: 'broken', maxRetries: 3 });
  expect(letter.responseHeader).toMatchObject({ 'x-why': ['database'] });
  const told = endpoint.received.find(({ path }) => path === '/failed')!;
  expect(JSON.parse(told.body)).toMatchObject({ status: 500, retried: 3, sourceMessageId: messageId, dlqId: letter.dlqId });
  expect(qstash.messages[0]).toMatchObject({ state: 'dead', attempts: 4 });
});

it('the emulator counts only 2xx as success', async () => {
  const { client, endpoint, qstash } = bench;
  const statuses = [200, 204, 299, 301, 400, 401, 429, 489, 500];
  endpoint.behave = ({ path }) => Number(path.slice(1));
  for (const status of statuses) await client.publish({ url: `${endpoint.url}/${status}`, retries: 0 });
  await qstash.settled();
  expect(qstash.messages.map(({ state }) => state)).toEqual(statuses.map((status) => (status < 300 ? 'delivered' : 'dead')));
  expect(qstash.stats()).toMatchObject({ delivered: 3, failed: 6, deadLettered: 6 });
});

it('the emulator waits at most a day between attempts', async () => {
  const { client, endpoint, qstash, secondsOfDeliveries } = bench;
  endpoint.behave = () => 500;
  await client.publish({ url: endpoint.url, retries: 6 });
  await qstash.advance('10 days');
  const times = secondsOfDeliveries(start);
  expect(times.slice(1).map((time, index) => time - times[index]!)).toEqual([12, 149, 1808, 22_026, 86_400, 86_400]);
});

it.each([
  ['1000', [1, 1, 1]],
  ['1000 * (1 + retried)', [1, 2, 3]],
  ['pow(2, retried) * 1000', [1, 2, 4]],
  ['max(3000, min(8000, exp(retried) * 1000) + -0)', [3, 3, 7]],
  ['round(sqrt(abs(-16))) * 7000 % 5000 + floor(0.9) + ceil(0.1) - 1', [3, 3, 3]],
])('the emulator follows the retry delay %s', async (retryDelay, expected) => {
  const { client, endpoint, qstash, secondsOfDeliveries } = bench;
  endpoint.behave = () => 500;
  await client.publish({ url: endpoint.url, retryDelay });
  await qstash.advance('1h');
  const times = secondsOfDeliveries(start);
  expect(times.slice(1).map((time, index) => time - times[index]!)).toEqual(expected);
});

it('the emulator follows Retry-After of the answer before the retry delay of the message', async () => {
  const { client, endpoint, qstash, secondsOfDeliveries } = bench;
  const waits = ['7', '2m', new Date(Math.floor(start.getTime() / 1_000) * 1_000 + 1_000_000).toUTCString()];
  endpoint.behave = ({ headers }) => {
    const wait = waits[Number(headers['upstash-retried'])];
    return wait === undefined ? 200 : { status: 503, headers: { 'retry-after': wait } };
  };
  await client.publish({ url: endpoint.url, retryDelay: '1' });
  await qstash.advance('1h');
  const times = secondsOfDeliveries(start);
  expect(times.slice(0, 3)).toEqual([0, 7, 127]);
  expect(times[3]).toBeGreaterThanOrEqual(999);
  expect(times[3]).toBeLessThanOrEqual(1_000);
});

it('the emulator gives up at once on 489 with the header Upstash-NonRetryable-Error', async () => {
  const { client, endpoint, qstash } = bench;
  endpoint.behave = ({ path }) => ({ status: 489, headers: { 'upstash-nonretryable-error': String(path === '/never') } });
  await client.publish({ url: `${endpoint.url}/never` });
  await client.publish({ url: `${endpoint.url}/again` });
  await qstash.advance('1m');
  expect(qstash.messages.map(({ state, attempts }) => [state, attempts])).toEqual([
    ['dead', 1],
    ['retrying', 2],
  ]);
});

it('the emulator counts a torn and a refused connection as failures, and retries', async () => {
  const { client, endpoint, qstash } = bench;
  endpoint.behave = ({ headers }) => (headers['upstash-retried'] === '0' ? 'hang up' : 200);
  await client.publish({ url: endpoint.url });
  await client.publish({ url: 'http://127.0.0.1:1/', retries: 0 });
  await qstash.advance('1m');
  expect(qstash.messages.map(({ state, attempts }) => [state, attempts])).toEqual([
    ['delivered', 2],
    ['dead', 1],
  ]);
  expect(qstash.deliveries.map(({ status, error }) => [status, error])).toEqual([
    [undefined, 'socket hang up'],
    [undefined, expect.stringContaining('ECONNREFUSED')],
    [200, undefined],
  ]);
});

it('the emulator counts a late answer as a failure, and retries before the first attempt ends', async () => {
  await bench.close();
  bench = await openBench({ answerTimeout: seconds(1) });
  const { client, endpoint, qstash } = bench;
  let answer: (status: number) => void = () => undefined;
  endpoint.behave = ({ headers }) => (headers['upstash-retried'] === '0' ? new Promise<number>((resolve) => (answer = resolve)) : 200);
  await client.publish({ url: endpoint.url, timeout: '30s' });
  await qstash.advance('29s');
  expect(qstash.messages[0]).toMatchObject({ state: 'delivering', attempts: 1 });
  await qstash.advance('1m');
  answer(200);
  await qstash.settled();
  expect(endpoint.mostAtOnce).toBe(2);
  expect(qstash.deliveries).toMatchObject([
    { outcome: 'failed', error: 'timed out', status: undefined },
    { outcome: 'delivered', attempt: 1 },
  ]);
});

it('the emulator lists, retries and deletes dead letters', async () => {
  const { client, endpoint, qstash } = bench;
  endpoint.behave = () => 500;
  for (let n = 0; n < 5; n += 1) {
    await client.publishJSON({ url: `${endpoint.url}/${n}`, body: n, retries: 0, deduplicationId: `d${n}`, label: n < 2 ? 'few' : 'many' });
  }
  await qstash.settled();
  const page = await client.dlq.listMessages({ count: 3 });
  expect(page.messages.map(({ body }) => body)).toEqual(['0', '1', '2']);
  const rest = await client.dlq.listMessages({ cursor: page.cursor! });
  expect([rest.messages.map(({ body }) => body), rest.cursor]).toEqual([['3', '4'], undefined]);
  expect((await client.dlq.listMessages({ filter: { label: 'many', responseStatus: [404, 500] } })).messages).toHaveLength(3);
  expect(await client.dlq.delete(page.messages[0]!.dlqId)).toEqual({ deleted: 1 });
  endpoint.behave = () => 200;
  const { responses } = await client.dlq.retry(page.messages[1]!.dlqId);
  expect(responses).toEqual([{ messageId: expect.any(String) }]);
  expect(responses[0]!.messageId).not.toBe(page.messages[1]!.messageId);
  await qstash.settled();
  expect(endpoint.received.at(-1)!.path).toBe('/1');
  expect(await client.dlq.delete({ filter: { label: 'few' } })).toEqual({ deleted: 0 });
  const some = await client.dlq.retry({ all: true, count: 2 });
  expect([some.responses.length, typeof some.cursor]).toEqual([2, 'string']);
  expect(await client.dlq.delete({ all: true })).toEqual({ deleted: 1 });
  await qstash.settled();
  expect((await client.dlq.listMessages()).messages).toEqual([]);
});
