import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { defineSignal, Workflow, type WorkflowContext } from '../../src/index.js';
import { closeApplications } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { startPushed, type PushedApplication } from '../support/pushed-application.js';
import { waitFor } from '../support/wait.js';
import { contentsOf, DELIVERY, forge, Lines, send, SWEEP, wakeUp } from './requests.js';

const go = defineSignal('go');
let bodies = 0;

@Workflow({ name: 'counted' })
class Counted {
  async run(_input: void, ctx: WorkflowContext): Promise<number> {
    const count = await ctx.step('count', () => ++bodies);
    await ctx.waitForSignal(go);
    return count;
  }
}

/** The key of QStash's development server, which is public. */
const KEY_OF_DEVELOPMENT = 'sig_7kYjw48mhY7kAjqNGcy6cr29RJ6r';
const seconds = (fromNow: number): number => Math.floor(Date.now() / 1_000) + fromNow;

let database: TestDatabase;
let pushed: PushedApplication;
let body: string;
const logger = new Lines();

/**
 * Creates a due run without a message at QStash. Any request that is accepted by mistake
 * executes the run.
 */
beforeAll(async () => {
  database = await createTestDatabase();
  pushed = await startPushed(database.url, [Counted], { logger });
  pushed.qstash.setFaults({ lose: 1 });
  const { runId } = await pushed.client.start(Counted);
  body = wakeUp(runId);
  await waitFor(async () => (await database.query('SELECT 1 FROM durable.workflow_sessions')).length === 0);
});
afterAll(async () => {
  await closeApplications();
  await database.drop();
});

/** Makes a genuine signature, for another address or another body on request. */
const signed = (what: { url?: string; body?: string; signingKey?: string; issuedAt?: Date }): string =>
  pushed.qstash.sign({ url: `${pushed.targetUrl}${DELIVERY}`, body, ...what });

const forgeries: [string, () => string | undefined][] = [
  ['without a signature', () => undefined],
  ['with an empty signature', () => ''],
  ['with nonsense for a signature', () => 'nonsense'],
  ['with a token of nonsense', () => 'a.b.c'],
  ['with a token of three dots', () => '...'],
  ['with half a signature', () => signed({}).slice(0, -10)],
  ['with two signatures', () => `${signed({})}, ${signed({})}`],
  ['with a scheme before its signature', () => `Bearer ${signed({})}`],
  ['that says alg: none, with no signature', () => forge(pushed, body, { header: { alg: 'none' } }).replace(/[^.]+$/, '')],
  ['that says alg: none, with a signature', () => forge(pushed, body, { header: { alg: 'none' } })],
  ['that says alg: RS256', () => forge(pushed, body, { header: { alg: 'RS256' } })],
  ['that brings its own key', () => forge(pushed, body, { header: { jwk: { kty: 'oct', k: 'eA' } }, key: 'x' })],
  ['signed with a wrong key', () => forge(pushed, body, { key: 'sig_wrong' })],
  ['signed with an empty key', () => forge(pushed, body, { key: '' })],
  ['signed with the key of QStash’s development server', () => forge(pushed, body, { key: KEY_OF_DEVELOPMENT })],
  ['signed with the token instead of a key', () => forge(pushed, body, { key: pushed.qstash.token })],
  ['signed for a body with one other byte', () => signed({ body: body.replace('"v":1', '"v":2') })],
  ['signed for the same body with its keys in another order', () => signed({ body: JSON.stringify(reversed(body)) })],
  ['signed for the same body with spaces', () => signed({ body: JSON.stringify(JSON.parse(body), null, 1) })],
  ['signed for the same body with a line break at its end', () => signed({ body: `${body}\n` })],
  ['signed for an empty body', () => signed({ body: '' })],
  ['signed for no body at all', () => forge(pushed, body, { claims: { body: undefined } })],
  ['signed for a body that is no text', () => forge(pushed, body, { claims: { body: [1] } })],
  ['that is older than five minutes', () => signed({ issuedAt: new Date(Date.now() - 310_000) })],
  ['that has expired', () => forge(pushed, body, { claims: { exp: seconds(-10) } })],
  ['that is not valid yet', () => forge(pushed, body, { claims: { nbf: seconds(60) } })],
  ['of another issuer', () => forge(pushed, body, { claims: { iss: 'upstash' } })],
  ['of no issuer', () => forge(pushed, body, { claims: { iss: undefined } })],
  ['signed for no address', () => forge(pushed, body, { claims: { sub: undefined } })],
  ['signed for another host', () => signed({ url: `https://elsewhere.example${DELIVERY}` })],
  ['signed for another port', () => signed({ url: `http://127.0.0.1:1${DELIVERY}` })],
  ['signed for a name of the same host', () => signed({ url: `${pushed.targetUrl.replace('127.0.0.1', 'localhost')}${DELIVERY}` })],
  ['signed for another path', () => signed({ url: `${pushed.targetUrl}/api${DELIVERY}` })],
  ['signed for the sweep', () => signed({ url: `${pushed.targetUrl}${SWEEP}` })],
  ['signed for https', () => signed({ url: `${pushed.targetUrl.replace('http:', 'https:')}${DELIVERY}` })],
  ['signed for the address with a slash at its end', () => signed({ url: `${pushed.targetUrl}${DELIVERY}/` })],
  ['signed for the address with a query', () => signed({ url: `${pushed.targetUrl}${DELIVERY}?x=1` })],
  ['signed for the address in capitals', () => signed({ url: `${pushed.targetUrl}${DELIVERY.toUpperCase()}` })],
  ['of another application', () => signed({ url: 'https://other.example/workflow/qstash', signingKey: 'sig_of_another' })],
];

function reversed(text: string): object {
  return Object.fromEntries(Object.entries(JSON.parse(text) as object).reverse());
}

it.each(forgeries)('the endpoint refuses a delivery %s with 401, and changes nothing', async (_, signature) => {
  const before = await contentsOf(database);
  expect(await send(pushed, { body, signature: signature() })).toMatchObject({ status: 401, body: { status: 'not signed' } });
  expect(await contentsOf(database)).toEqual(before);
  expect(bodies).toBe(0);
});

it.each([
  ['without a signature', () => undefined],
  ['signed for a delivery', () => signed({ body: '' })],
  ['signed for another body', () => signed({ url: `${pushed.targetUrl}${SWEEP}`, body: 'x' })],
])('the endpoint refuses a sweep %s with 401, and changes nothing', async (_, signature) => {
  const before = await contentsOf(database);
  expect(await send(pushed, { path: SWEEP, signature: signature() })).toMatchObject({ status: 401 });
  expect(await contentsOf(database)).toEqual(before);
});

it('the endpoint refuses bytes that are not UTF-8 when their decoded text was signed', async () => {
  const text = wakeUp('\ufffd');
  const bytes = Buffer.from(text.replace('\ufffd', '\u00ff'), 'latin1');
  expect(await send(pushed, { body: bytes, signature: signed({ body: text }) })).toMatchObject({ status: 401 });
  expect(await send(pushed, { body: text, signature: signed({ body: text }) })).toMatchObject({ status: 200 });
});

describe('the log of refused signatures', () => {
  const told = (text: string) => waitFor(() => logger.has(text), { message: () => logger.lines.join('\n') });

  it('names the address that QStash has signed, and no address of a forgery', async () => {
    const fresh = new Lines();
    const other = await startPushed(database.url, [Counted], { logger: fresh });
    const sign = (url: string, signingKey: string) => other.qstash.sign({ url, body, signingKey });
    await send(other, { body, signature: sign('https://evil.example', 'sig_wrong') });
    expect(fresh.lines.join('\n')).not.toContain('evil.example');
    // A forgery was logged just before. The log limits each kind of trouble separately.
    await send(other, { body, signature: sign('https://shop.example/workflow/qstash', other.qstash.currentSigningKey) });
    expect(fresh.lines.join('\n')).toMatch(/401.*"https:\/\/shop.example\/workflow\/qstash".*QSTASH_TARGET_URL/);
  });

  it('says that the keys are wrong', () => told('signed with other keys than qstash.currentSigningKey'));
});

it('the endpoint executes a delivery with a right signature once, and answers its replays without an execution', async () => {
  const signature = signed({});
  expect(await send(pushed, { body, signature })).toMatchObject({ status: 200, body: { status: 'executed' } });
  expect(bodies).toBe(1);
  const before = await contentsOf(database);
  const replays = await Promise.all(Array.from({ length: 20 }, () => send(pushed, { body, signature })));
  expect(replays.map(({ status, body: said }) => [status, said.status])).toEqual(replays.map(() => [200, 'nothing']));
  expect(await contentsOf(database)).toEqual(before);
  expect(bodies).toBe(1);
});
