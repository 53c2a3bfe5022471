import { afterEach, beforeEach, expect, it } from '@jest/globals';

import { type Bench, openBench } from './emulator-bench.js';
import { seconds, waitFor } from '../support/wait.js';

let bench: Bench;
let start: Date;

beforeEach(async () => {
  bench = await openBench();
  start = bench.qstash.now;
});

afterEach(async () => {
  await bench.close();
});

const soon = (): Promise<number> => new Promise((resolve) => setTimeout(() => resolve(200), 20));

it('the emulator delivers a queue in order, and blocks it during retries of its first message', async () => {
  const { client, endpoint, qstash, secondsOfDeliveries } = bench;
  const queue = client.queue({ queueName: 'orders' });
  endpoint.behave = ({ body, headers }) => (body === '"b"' && Number(headers['upstash-retried']) < 2 ? 500 : soon());
  for (const body of ['a', 'b', 'c', 'd']) await queue.enqueueJSON({ url: endpoint.url, body });
  await client.publishJSON({ url: endpoint.url, body: 'free' });
  expect(await queue.get()).toMatchObject({ name: 'orders', parallelism: 1, lag: 4, paused: false });
  await qstash.settled();
  expect(endpoint.bodies.filter((body) => body !== '"free"')).toEqual(['"a"', '"b"']);
  expect(endpoint.bodies).toContain('"free"');
  await qstash.advance('10m');
  expect(endpoint.bodies.filter((body) => body !== '"free"')).toEqual(['"a"', '"b"', '"b"', '"b"', '"c"', '"d"']);
  expect(secondsOfDeliveries(start).slice(-3)).toEqual([161, 161, 161]);
  expect(await queue.get()).toMatchObject({ lag: 0 });
});

it('the emulator continues a queue when its first message is dead or cancelled', async () => {
  const { client, endpoint, qstash } = bench;
  const queue = client.queue({ queueName: 'q' });
  endpoint.behave = ({ body }) => (body === '"bad"' ? 500 : 200);
  await queue.enqueueJSON({ url: endpoint.url, body: 'bad', retries: 0 });
  const { messageId } = await queue.enqueueJSON({ url: endpoint.url, body: 'bad' });
  await queue.enqueueJSON({ url: endpoint.url, body: 'good' });
  await qstash.settled();
  expect(endpoint.bodies).toEqual(['"bad"', '"bad"']);
  await client.messages.cancel(messageId);
  await qstash.settled();
  expect(endpoint.bodies).toEqual(['"bad"', '"bad"', '"good"']);
});

it('the emulator follows the parallelism of a queue, and delivers nothing of a paused queue', async () => {
  const { client, endpoint, qstash } = bench;
  const queue = client.queue({ queueName: 'wide' });
  await queue.upsert({ parallelism: 3, paused: true });
  endpoint.behave = soon;
  for (let n = 0; n < 9; n += 1) await queue.enqueueJSON({ url: endpoint.url, body: n });
  await qstash.advance('1h');
  expect(endpoint.received).toEqual([]);
  expect(await queue.list()).toMatchObject([{ name: 'wide', parallelism: 3, lag: 9, paused: true }]);
  await queue.resume();
  await qstash.settled();
  expect(endpoint.received).toHaveLength(9);
  expect(endpoint.mostAtOnce).toBe(3);
  await queue.pause();
  expect(await queue.get()).toMatchObject({ paused: true });
  await queue.delete();
  expect(await queue.list()).toEqual([]);
});

it('the emulator delays messages by the parallelism of their flow-control key, and rejects none', async () => {
  const { client, endpoint, qstash } = bench;
  endpoint.behave = soon;
  for (let n = 0; n < 10; n += 1) await client.publishJSON({ url: endpoint.url, body: n, flowControl: { key: 'k', parallelism: 2 } });
  for (let n = 10; n < 15; n += 1) await client.publishJSON({ url: endpoint.url, body: n, flowControl: { key: 'other', parallelism: 1 } });
  const delivered = qstash.settled();
  await soon();
  expect(await client.flowControl.get('k')).toMatchObject({ flowControlKey: 'k', parallelismMax: 2, isPaused: false });
  await delivered;
  expect(endpoint.received).toHaveLength(15);
  expect(endpoint.mostAtOnce).toBe(3);
  expect(await client.flowControl.get('k')).toMatchObject({ parallelismCount: 0, waitListSize: 0 });
});

it('the emulator delays messages by the rate and period of their flow-control key', async () => {
  const { client, endpoint, qstash, secondsOfDeliveries } = bench;
  for (let n = 0; n < 5; n += 1) await client.publishJSON({ url: endpoint.url, body: n, flowControl: { key: 'k', rate: 2, period: '1m' } });
  await qstash.settled();
  expect(await client.flowControl.get('k')).toMatchObject({ rateMax: 2, rateCount: 2, ratePeriod: 60, waitListSize: 3 });
  await qstash.advance('1h');
  expect(secondsOfDeliveries(start)).toEqual([0, 0, 60, 60, 120]);
  expect(endpoint.bodies).toEqual(['0', '1', '2', '3', '4']);
});

it('the emulator uses the flow-control settings of the last message unless they are pinned', async () => {
  const { client, endpoint, qstash } = bench;
  // The first delivery ends only after the last has arrived, even on a slow machine.
  endpoint.behave = async () => (await waitFor(() => endpoint.received.length >= 4), 200);
  const publish = (parallelism: number) => client.publishJSON({ url: endpoint.url, body: {}, flowControl: { key: 'k', parallelism } });
  for (const parallelism of [5, 1, 1, 4]) await publish(parallelism);
  await qstash.settled();
  expect(endpoint.mostAtOnce).toBe(4);
  endpoint.behave = soon;
  await client.flowControl.pin('k', { parallelism: 1 });
  endpoint.mostAtOnce = 0;
  for (let n = 0; n < 3; n += 1) await publish(3);
  await qstash.settled();
  expect(endpoint.mostAtOnce).toBe(1);
  await client.flowControl.unpin('k', { parallelism: true });
  await client.flowControl.pause('k');
  await publish(3);
  await qstash.settled();
  expect(endpoint.received).toHaveLength(7);
  expect(await client.flowControl.get('k')).toMatchObject({ isPaused: true, isPinnedParallelism: false, waitListSize: 1 });
  await client.flowControl.resume('k');
  await client.flowControl.resetRate('k');
  await qstash.settled();
  expect(endpoint.received).toHaveLength(8);
  const all = await client.http.request({ path: ['v2', 'flowControl'], method: 'GET' });
  expect(all).toMatchObject([{ flowControlKey: 'k' }]);
});

it('the emulator delivers no more messages at a time than the plan allows', async () => {
  const { client, endpoint, qstash } = bench;
  qstash.setLimits({ parallelism: 1 });
  endpoint.behave = soon;
  for (let n = 0; n < 5; n += 1) await client.publishJSON({ url: endpoint.url, body: n });
  await qstash.settled();
  expect([endpoint.mostAtOnce, endpoint.bodies]).toEqual([1, ['0', '1', '2', '3', '4']]);
  expect(await client.flowControl.getGlobalParallelism()).toEqual({ parallelismMax: 1, parallelismCount: 0 });
});

it('the emulator delivers messages that a handler publishes during advance()', async () => {
  const { client, endpoint, qstash, secondsOfDeliveries } = bench;
  endpoint.behave = async ({ body }) => {
    const n = Number(body);
    if (n < 4) await client.publishJSON({ url: endpoint.url, body: n + 1, delay: n % 2 === 0 ? '1m' : 0 });
    return 200;
  };
  await client.publishJSON({ url: endpoint.url, body: 0 });
  await qstash.advance('1h');
  expect(endpoint.bodies).toEqual(['0', '1', '2', '3', '4']);
  expect(secondsOfDeliveries(start)).toEqual([0, 60, 60, 120, 120]);
});

it('the emulator waits with a quietPeriod for messages that are published after an answer', async () => {
  await bench.close();
  bench = await openBench({ quietPeriod: seconds(0.5) });
  const { client, endpoint, qstash, secondsOfDeliveries } = bench;
  endpoint.behave = ({ body }) => {
    if (body === '0') setTimeout(() => void client.publishJSON({ url: endpoint.url, body: 1, delay: '10s' }), 10);
    return 200;
  };
  await client.publishJSON({ url: endpoint.url, body: 0, delay: '5s' });
  const from = qstash.now;
  await qstash.advance('1h');
  expect(secondsOfDeliveries(from)).toEqual([5, 15]);
});
