import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { Receiver } from '@upstash/qstash';

import { type Bench, openBench, type Received } from './emulator-bench.js';

let bench: Bench;

beforeEach(async () => {
  bench = await openBench();
});

afterEach(async () => {
  await bench.close();
});

async function receive(): Promise<Received> {
  await bench.client.publishJSON({ url: `${bench.endpoint.url}/wake?x=1`, body: { run: 'ä' } });
  await bench.qstash.settled();
  return bench.endpoint.received.at(-1)!;
}

function signatureOf({ headers }: Received): string {
  return headers['upstash-signature'] as string;
}

/** The keys that an application was started with. */
function receiverOf(currentSigningKey: string, nextSigningKey: string): Receiver {
  return new Receiver({ currentSigningKey, nextSigningKey, devMode: false });
}

it('the emulator signs requests so that the Receiver of the SDK verifies them', async () => {
  const request = await receive();
  const url = `${bench.endpoint.url}/wake?x=1`;
  await expect(bench.receiver.verify({ signature: signatureOf(request), body: request.body, url })).resolves.toBe(true);
  const claims = JSON.parse(Buffer.from(signatureOf(request).split('.')[1]!, 'base64url').toString()) as Record<string, unknown>;
  expect(claims).toMatchObject({ iss: 'Upstash', sub: url, exp: (claims['iat'] as number) + 300 });
});

it('the emulator signs with the real time after its manual clock was advanced', async () => {
  await bench.qstash.advance('30 days');
  const request = await receive();
  await expect(bench.receiver.verify({ signature: signatureOf(request), body: request.body })).resolves.toBe(true);
});

it('a signature of the emulator covers the body and the address', async () => {
  const request = await receive();
  const signature = signatureOf(request);
  await expect(bench.receiver.verify({ signature, body: `${request.body} ` })).rejects.toThrow('body hash does not match');
  await expect(bench.receiver.verify({ signature, body: request.body, url: `${bench.endpoint.url}/other` })).rejects.toThrow(
    'invalid subject',
  );
  const [head, , tail] = signature.split('.');
  const forged = Buffer.from(JSON.stringify({ iss: 'Upstash', sub: 'x', body: '' })).toString('base64url');
  await expect(bench.receiver.verify({ signature: `${head}.${forged}.${tail}`, body: request.body })).rejects.toThrow();
});

it('a signature of the emulator is refused by a receiver with other keys', async () => {
  const request = await receive();
  await expect(receiverOf('a', 'b').verify({ signature: signatureOf(request), body: request.body })).rejects.toThrow(
    'signature verification failed',
  );
});

it('a signature of the emulator with the next key is accepted', async () => {
  const { qstash, receiver } = bench;
  const signature = qstash.sign({ url: 'http://a', body: 'b', signingKey: qstash.nextSigningKey });
  await expect(receiver.verify({ signature, body: 'b', url: 'http://a' })).resolves.toBe(true);
});

it('a signature of the emulator is refused after five minutes', async () => {
  const { qstash, receiver } = bench;
  const signedAgo = (seconds: number) => qstash.sign({ url: 'http://a', body: 'b', issuedAt: new Date(Date.now() - seconds * 1_000) });
  await expect(receiver.verify({ signature: signedAgo(290), body: 'b' })).resolves.toBe(true);
  await expect(receiver.verify({ signature: signedAgo(302), body: 'b' })).rejects.toThrow('signature verification failed');
  await expect(receiver.verify({ signature: signedAgo(302), body: 'b', clockTolerance: 10 })).resolves.toBe(true);
});

it('a receiver accepts signatures of the emulator after one rotation of the keys, but not after two', async () => {
  const { qstash, client, receiver } = bench;
  const keys = () => client.http.request<{ current: string; next: string }>({ path: ['v2', 'keys'], method: 'GET' });
  const before = await keys();
  expect(before).toEqual({ current: qstash.currentSigningKey, next: qstash.nextSigningKey });
  await client.http.request({ path: ['v2', 'keys', 'rotate'], method: 'POST' });
  expect(await keys()).toEqual({ current: before.next, next: expect.any(String) });
  expect(qstash.env()).toMatchObject({ QSTASH_CURRENT_SIGNING_KEY: before.next });
  const once = await receive();
  await expect(receiver.verify({ signature: signatureOf(once), body: once.body })).resolves.toBe(true);
  qstash.rotateSigningKeys();
  const twice = await receive();
  await expect(receiver.verify({ signature: signatureOf(twice), body: twice.body })).rejects.toThrow();
  const restarted = receiverOf(qstash.currentSigningKey, qstash.nextSigningKey);
  await expect(restarted.verify({ signature: signatureOf(twice), body: twice.body })).resolves.toBe(true);
});
