import { afterEach, expect, it, jest } from '@jest/globals';
import { Client } from '@upstash/qstash';

import { QStashEmulator, type QStashEmulatorOptions } from '../../src/testing/index.js';
import { type Bench, openBench } from './emulator-bench.js';

let bench: Bench | undefined;

afterEach(async () => {
  jest.restoreAllMocks();
  await bench?.close();
  bench = undefined;
});

it('the emulator delivers without advance() on the real clock', async () => {
  bench = await openBench({ clock: 'real' });
  const { client, endpoint, qstash } = bench;
  endpoint.behave = ({ body, headers }) => (body === '"again"' && headers['upstash-retried'] === '0' ? 500 : 200);
  await client.publishJSON({ url: endpoint.url, body: 'now' });
  await client.publishJSON({ url: endpoint.url, body: 'later', delay: 1 });
  await client.publishJSON({ url: endpoint.url, body: 'again', retryDelay: '50' });
  await qstash.settled();
  expect(endpoint.bodies).toEqual(expect.arrayContaining(['"again"', '"now"']));
  while (endpoint.received.length < 4) await new Promise((resolve) => setTimeout(resolve, 20));
  await qstash.settled();
  expect(endpoint.bodies.toSorted()).toEqual(['"again"', '"again"', '"later"', '"now"']);
  // A stall makes deliveries late. No delivery is early.
  const later = qstash.messages.find(({ body }) => body === '"later"')!;
  expect(later.notBefore.getTime() - later.createdAt.getTime()).toBe(1_000);
  expect(qstash.deliveries.find(({ body }) => body === '"later"')!.startedAt.getTime()).toBeGreaterThanOrEqual(later.notBefore.getTime());
  const [failed, repeated] = qstash.deliveries.filter(({ body }) => body === '"again"');
  expect(repeated!.startedAt.getTime() - failed!.endedAt!.getTime()).toBeGreaterThanOrEqual(50);
  expect(qstash.stats()).toMatchObject({ published: 3, delivered: 3, failed: 1 });
  await expect(qstash.advance('1s')).rejects.toMatchObject({ code: 'INVALID_INPUT' });
});

it('the emulator ends a delivery after its timeout on the real clock', async () => {
  bench = await openBench({ clock: 'real' });
  const { client, endpoint, qstash } = bench;
  endpoint.behave = () => new Promise(() => undefined);
  await client.publish({ url: endpoint.url, timeout: '100ms' as '1s', retries: 0 });
  await qstash.settled();
  expect(qstash.deliveries).toMatchObject([{ outcome: 'failed', error: 'timed out' }]);
});

it('the emulator reorders messages on the real clock', async () => {
  bench = await openBench({ clock: 'real', faults: { reorder: 0.5 } });
  const { client, endpoint, qstash } = bench;
  const sent = Array.from({ length: 20 }, (_, n) => String(n));
  for (const body of sent) await client.publish({ url: endpoint.url, body });
  while (endpoint.received.length < sent.length) await new Promise((resolve) => setTimeout(resolve, 10));
  await qstash.settled();
  expect(endpoint.bodies).not.toEqual(sent);
  expect(endpoint.bodies.toSorted()).toEqual(sent.toSorted());
});

it('the emulator forgets current deliveries at clear(), and frees their flow-control key', async () => {
  bench = await openBench({ clock: 'real' });
  const { client, endpoint, qstash } = bench;
  endpoint.behave = () => new Promise(() => undefined);
  const publish = () => client.publish({ url: endpoint.url, flowControl: { key: 'k', parallelism: 1 } });
  await publish();
  while (endpoint.received.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  qstash.clear();
  await qstash.settled();
  endpoint.behave = () => 200;
  await publish();
  await qstash.settled();
  expect(qstash.deliveries).toMatchObject([{ outcome: 'delivered' }]);
  expect(qstash.stats()).toMatchObject({ published: 1, delivered: 1, failed: 0 });
});

it('the emulator closes during a delivery, may be closed twice, and then refuses connections', async () => {
  bench = await openBench({ clock: 'real' });
  const { client, endpoint, qstash } = bench;
  endpoint.behave = () => new Promise(() => undefined);
  await client.publish({ url: endpoint.url });
  await client.publish({ url: endpoint.url, delay: '1h' });
  await client.schedules.create({ destination: endpoint.url, cron: '* * * * *' });
  while (endpoint.received.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  const settled = qstash.settled();
  await qstash.close();
  await qstash.close();
  await settled;
  jest.spyOn(console, 'error').mockImplementation(() => undefined);
  await expect(client.publish({ url: endpoint.url })).rejects.toThrow('fetch failed');
});

it('the emulator serves a client that has only its environment variables', async () => {
  bench = await openBench({ token: 'my-token', currentSigningKey: 'one', nextSigningKey: 'two' });
  const env = bench.qstash.env();
  expect(env).toEqual({
    QSTASH_URL: bench.qstash.url,
    QSTASH_TOKEN: 'my-token',
    QSTASH_CURRENT_SIGNING_KEY: 'one',
    QSTASH_NEXT_SIGNING_KEY: 'two',
  });
  const before = { ...process.env };
  Object.assign(process.env, env);
  try {
    await new Client({ devMode: false }).publish({ url: bench.endpoint.url });
  } finally {
    process.env = before;
  }
  expect(bench.qstash.messages).toHaveLength(1);
});

it.each([
  { port: -1 },
  { clock: 'fast' },
  { prt: 1 },
  { token: '' },
  { limits: { parallelism: 0 } },
  { answerTimeout: 'long' },
] as unknown[])('the emulator refuses the options %j', async (options) => {
  await expect(QStashEmulator.start(options as QStashEmulatorOptions)).rejects.toMatchObject({ code: 'INVALID_INPUT' });
});
