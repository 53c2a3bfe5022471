import { afterEach, beforeEach, expect, it, jest } from '@jest/globals';

import type { QStashFaults } from '../../src/testing/index.js';
import { type Bench, openBench } from './emulator-bench.js';

let bench: Bench;

beforeEach(async () => {
  bench = await openBench();
  jest.spyOn(console, 'error').mockImplementation(() => undefined);
});

afterEach(async () => {
  jest.restoreAllMocks();
  await bench.close();
});

async function publish(count: number, delay?: `${bigint}s`): Promise<void> {
  const { client, endpoint } = bench;
  for (let n = 0; n < count; n += 1) await client.publishJSON({ url: endpoint.url, body: n, ...(delay && { delay }) });
}

const inOrder = (count: number): string[] => Array.from({ length: count }, (_, n) => String(n));

it('the emulator with failPublish fails to publish, and accepts no message', async () => {
  const { client, endpoint, qstash } = bench;
  qstash.setFaults({ failPublish: 1 });
  await expect(client.publishJSON({ url: endpoint.url, body: {} })).rejects.toMatchObject({ name: 'QstashError', status: 500 });
  await expect(client.batchJSON([{ url: endpoint.url, body: {} }])).rejects.toMatchObject({ status: 500 });
  expect([qstash.messages, qstash.stats().rejected]).toEqual([[], 2]);
  qstash.setFaults({});
  await client.publishJSON({ url: endpoint.url, body: {} });
  expect(qstash.messages).toHaveLength(1);
});

it('the emulator with dropPublishAnswer accepts a message without an answer, and deduplicates the repetition', async () => {
  const { client, endpoint, qstash } = bench;
  const send = () => client.publishJSON({ url: endpoint.url, body: {}, deduplicationId: 'a' });
  qstash.setFaults({ dropPublishAnswer: 1 });
  await expect(send()).rejects.toMatchObject({ status: 500 });
  qstash.setFaults({});
  expect(await send()).toMatchObject({ deduplicated: true });
  await qstash.settled();
  expect(endpoint.received).toHaveLength(1);
});

it('the emulator with failMember accepts a part of a batch', async () => {
  const { client, endpoint, qstash } = bench;
  qstash.setFaults({ failMember: 0.5, seed: 7 });
  const results = await client.batchJSON(Array.from({ length: 50 }, (_, n) => ({ url: endpoint.url, body: n })));
  const failed = results.filter((result) => 'error' in result).length;
  expect(failed).toBeGreaterThan(10);
  expect(failed).toBeLessThan(40);
  expect(qstash.messages).toHaveLength(50 - failed);
});

it('the emulator with lose delivers no message, and keeps no dead letter', async () => {
  const { client, endpoint, qstash } = bench;
  qstash.setFaults({ lose: 1 });
  await publish(3);
  await qstash.advance('7 days');
  expect(endpoint.received).toEqual([]);
  expect((await client.dlq.listMessages()).messages).toEqual([]);
  expect(qstash.stats()).toMatchObject({ published: 3, lost: 3, deadLettered: 0 });
});

it('the emulator with duplicate delivers each message twice under the same id', async () => {
  const { endpoint, qstash } = bench;
  qstash.setFaults({ duplicate: 1 });
  await publish(10);
  await qstash.advance('2m');
  expect(endpoint.received).toHaveLength(20);
  expect(new Set(endpoint.received.map(({ headers }) => headers['upstash-message-id'])).size).toBe(10);
  expect(qstash.deliveries.filter(({ duplicate }) => duplicate)).toHaveLength(10);
  expect(qstash.stats()).toMatchObject({ published: 10, delivered: 10, duplicated: 10 });
});

it('the emulator with reorder delivers messages in another order', async () => {
  const { endpoint, qstash } = bench;
  qstash.setFaults({ reorder: 0.5 });
  qstash.setLimits({ parallelism: 1 });
  await publish(20);
  await qstash.settled();
  expect(endpoint.bodies).not.toEqual(inOrder(20));
  expect(endpoint.bodies.toSorted((a, b) => Number(a) - Number(b))).toEqual(inOrder(20));
});

it('the emulator with delayMs delivers messages late', async () => {
  const { endpoint, qstash } = bench;
  qstash.setFaults({ delayMs: 10_000 });
  await publish(20);
  await qstash.advance('4s');
  const early = endpoint.received.length;
  expect(early).toBeGreaterThan(0);
  expect(early).toBeLessThan(20);
  await qstash.advance('6s');
  expect(endpoint.received).toHaveLength(20);
});

it('the emulator with early delivers delayed messages at once', async () => {
  const { endpoint, qstash } = bench;
  qstash.setFaults({ early: 1 });
  await publish(2, '3600s');
  await qstash.settled();
  expect(endpoint.received).toHaveLength(2);
  await qstash.advance('2h');
  expect(endpoint.received).toHaveLength(2);
});

it('the emulator with dropAcknowledgement repeats deliveries until the message is a dead letter', async () => {
  const { client, endpoint, qstash } = bench;
  qstash.setFaults({ dropAcknowledgement: 1 });
  await publish(1);
  await qstash.advance('1m');
  expect(endpoint.received).toHaveLength(2);
  expect(qstash.deliveries[0]).toMatchObject({ status: 200, outcome: 'unacknowledged' });
  await qstash.advance('1h');
  expect(endpoint.received).toHaveLength(4);
  expect((await client.dlq.listMessages()).messages).toHaveLength(1);
  expect(qstash.stats()).toMatchObject({ delivered: 0, failed: 0, unacknowledged: 4, deadLettered: 1 });
});

it('the emulator repeats its faults for the same seed', async () => {
  const { client, endpoint, qstash } = bench;
  const faults: QStashFaults = { lose: 0.3, duplicate: 0.3, reorder: 0.3, failPublish: 0.1, delayMs: 5_000 };
  const run = async (seed: number): Promise<string[]> => {
    qstash.clear();
    qstash.setFaults({ ...faults, seed });
    qstash.setLimits({ parallelism: 1 });
    const from = endpoint.received.length;
    for (let n = 0; n < 30; n += 1) await client.publishJSON({ url: endpoint.url, body: n }).catch(() => undefined);
    await qstash.advance('5m');
    return endpoint.bodies.slice(from);
  };
  const first = await run(11);
  expect(await run(11)).toEqual(first);
  expect(await run(12)).not.toEqual(first);
});

it.each([{ lose: 2 }, { lose: Number.NaN }, { delayMs: -1 }, { los: 1 }] as QStashFaults[])('the emulator refuses %j', (faults) => {
  expect(() => bench.qstash.setFaults(faults)).toThrow(expect.objectContaining({ code: 'INVALID_INPUT' }));
});
