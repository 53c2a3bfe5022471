import { createHmac, timingSafeEqual } from 'node:crypto';
import type { AddressInfo } from 'node:net';

import {
  Injectable,
  type CanActivate,
  type ExecutionContext,
  type INestApplication,
  type LoggerService,
  type NestApplicationOptions,
} from '@nestjs/common';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { z } from 'zod';

import {
  HookVerifier,
  InvalidInputError,
  Workflow,
  WorkflowClient,
  WorkflowConfigurationError,
  WorkflowModule,
  type HookOptions,
  type HookRequestVerifier,
  type HookVerificationRequest,
  type WorkflowContext,
} from '../../../src/index.js';
import { bootApplication, closeApplications, closeLater } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { createHttpApplication, httpPlatforms, type HttpPlatform } from '../../support/http-platforms.js';
import { withoutStalls } from '../../support/log-lines.js';
import { waitFor } from '../../support/wait.js';

const SECRET = 'whsec_of_the_test';
const LIMIT = 20_000;
const TOLERANCE_S = 300;

const hmac = (text: string | Buffer): string => createHmac('sha256', SECRET).update(text).digest('hex');

function isSame(given: string, expected: string): boolean {
  const [a, b] = [Buffer.from(given, 'hex'), Buffer.from(expected, 'hex')];
  return a.length === b.length && timingSafeEqual(a, b);
}

/** Verifies signatures of GitHub: `X-Hub-Signature-256: sha256=<hex>`. */
@HookVerifier('github')
class GitHubVerifier implements HookRequestVerifier {
  verify({ rawBody, headers }: HookVerificationRequest): boolean {
    return isSame((headers['x-hub-signature-256'] ?? '').replace(/^sha256=/, ''), hmac(rawBody));
  }
}

/** Verifies signatures of Stripe (time and body): `Stripe-Signature: t=<seconds>,v1=<hex>`. */
@HookVerifier('stripe')
class StripeVerifier implements HookRequestVerifier {
  async verify({ rawBody, headers }: HookVerificationRequest): Promise<boolean> {
    const parts = new Map((headers['stripe-signature'] ?? '').split(',').map((part) => part.split('=', 2) as [string, string]));
    const time = Number(parts.get('t'));
    if (!(Math.abs(Date.now() / 1_000 - time) < TOLERANCE_S)) return false;
    return isSame(parts.get('v1') ?? '', hmac(Buffer.concat([Buffer.from(`${time}.`), rawBody])));
  }
}

@HookVerifier('broken')
class BrokenVerifier implements HookRequestVerifier {
  verify(): boolean {
    throw new Error('the keys are away');
  }
}

@Workflow({ name: 'hooked' })
class Hooked {
  async run({ take = 1, ...options }: HookOptions & { take?: number }, ctx: WorkflowContext): Promise<unknown> {
    const hook = await ctx.hook(options as HookOptions);
    const got: unknown[] = [];
    for await (const value of hook) if (got.push(value) === take) break;
    return { url: hook.url, got };
  }
}

@Workflow({ name: 'fussy' })
class Fussy {
  async run(_input: void, ctx: WorkflowContext): Promise<unknown> {
    return (await ctx.hook({ schema: z.object({ amount: z.number() }) })).wait();
  }
}

@Injectable()
class KeyGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    return context.switchToHttp().getRequest<{ headers: Record<string, string> }>().headers['x-key'] === 'open';
  }
}

class Lines implements LoggerService {
  readonly lines: string[] = [];
  log = (): void => undefined;
  warn = (line: string): void => void this.lines.push(...withoutStalls([line]));
  error = (line: string): void => void this.lines.push(line);
}

interface Site {
  readonly client: WorkflowClient;
  readonly url: string;
  readonly logged: readonly string[];
}

const VERIFIERS = [GitHubVerifier, StripeVerifier, BrokenVerifier];

async function serve(
  databaseUrl: string,
  http: Parameters<typeof WorkflowModule.forRoot>[0] & object,
  options: NestApplicationOptions = { rawBody: true },
  platform: HttpPlatform = 'express',
  prefix?: Parameters<INestApplication['setGlobalPrefix']>,
): Promise<Site> {
  const logger = new Lines();
  const module = WorkflowModule.forRoot({
    worker: { suspendAfter: 50 },
    defaults: { maxPayloadBytes: LIMIT },
    ...http,
    connection: { url: databaseUrl },
  });
  class Root {}
  const root = { module: Root, imports: [module], providers: [Hooked, Fussy, ...VERIFIERS] };
  const app = await createHttpApplication(platform, root, { ...options, logger, abortOnError: false });
  closeLater(app);
  if (prefix) app.setGlobalPrefix(...prefix);
  await app.listen(0, '127.0.0.1');
  const { port } = (app.getHttpServer() as { address(): AddressInfo }).address();
  return { client: app.get(WorkflowClient), url: `http://127.0.0.1:${port}`, logged: logger.lines };
}

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(async () => {
  await closeApplications();
  await database.drop();
});

async function tokenOf(runId: string): Promise<string> {
  const find = async (): Promise<string | undefined> => {
    const rows = await database.query<{ token: string }>(`SELECT token FROM durable.workflow_hooks WHERE run_id = $1`, [runId]);
    return rows[0]?.token;
  };
  return waitFor(find, { message: 'the hook' });
}

const JSON_TYPE = { 'content-type': 'application/json' };

for (const [platform, describePlatform] of httpPlatforms)
  describePlatform(`POST {path}/hooks/:token on ${platform}`, () => {
    let site: Site;
    beforeAll(async () => {
      site = await serve(database.url, { http: { hooks: true, publicUrl: 'https://shop.example/' } }, { rawBody: true }, platform);
    });
    afterAll(closeApplications);

    const post = async (token: string, body: string | Buffer, headers: Record<string, string> = JSON_TYPE): Promise<Response> =>
      fetch(`${site.url}/workflow/hooks/${token}`, { method: 'POST', body, headers });
    const hooked = async (options: HookOptions & { take?: number } = {}): Promise<{ token: string; result(): Promise<any> }> => {
      const handle = await site.client.start(Hooked, options);
      return { token: await tokenOf(handle.runId), result: () => handle.result() };
    };

    it('resumes the run that has the hook', async () => {
      const { token, result } = await hooked();
      const answer = await post(token, '{"paid":[1,{"of":2}]}');
      expect([answer.status, await answer.json()]).toEqual([202, { status: 'accepted' }]);
      expect(await result()).toEqual({ url: `https://shop.example/workflow/hooks/${token}`, got: [{ paid: [1, { of: 2 }] }] });
    });

    it('accepts forms and plain text', async () => {
      const { token, result } = await hooked({ take: 2 });
      await post(token, 'a=1&b=x+y&b=z', { 'content-type': 'application/x-www-form-urlencoded' });
      await post(token, 'plain wörds', { 'content-type': 'text/plain; charset=utf-8' });
      expect(await result()).toMatchObject({ got: [{ a: '1', b: ['x y', 'z'] }, 'plain wörds'] });
    });

    it('passes the requested headers to the workflow, and no others', async () => {
      const { token, result } = await hooked({ headers: ['X-Event', 'x-absent'] });
      await post(token, '{}', { ...JSON_TYPE, 'x-event': 'push', authorization: 'Bearer secret' });
      expect(await result()).toMatchObject({ got: [{ body: {}, headers: { 'x-event': 'push' } }] });
    });

    it('answers every unknown token with the same 404', async () => {
      const tokens = ['x'.repeat(43), 'y', 'z'.repeat(platform === 'express' ? 300 : 90), '%00', 'a%0Ab', '%F0%9F%98%80'];
      const answers = await Promise.all(tokens.map((token) => post(token, '{}')));
      expect(answers.map(({ status }) => status)).toEqual(tokens.map(() => 404));
      expect(new Set(await Promise.all(answers.map((answer) => answer.text()))).size).toBe(1);
    });

    it('answers 410 once the run has ended', async () => {
      const { token, result } = await hooked();
      await post(token, '{}');
      await result();
      expect((await post(token, '{}')).status).toBe(410);
    });

    it('answers 413 to a body above the payload limit, and accepts smaller bodies', async () => {
      const { token, result } = await hooked({ take: 2 });
      expect((await post(token, JSON.stringify({ long: 'x'.repeat(LIMIT) }))).status).toBe(413);
      expect((await post(token, 'x'.repeat(LIMIT + 1), { 'content-type': 'text/plain' })).status).toBe(413);
      expect((await post(token, 'x'.repeat(LIMIT - 200), { 'content-type': 'text/plain' })).status).toBe(202);
      expect((await post(token, '{}')).status).toBe(202);
      expect(await result()).toMatchObject({ got: ['x'.repeat(LIMIT - 200), {}] });
    });

    it('answers 400 to malformed JSON, and 415 to an unsupported content type', async () => {
      const { token } = await hooked();
      expect((await post(token, '{"a":')).status).toBe(400);
      expect((await post(token, 'GIF89a', { 'content-type': 'image/gif' })).status).toBe(415);
    });

    it('answers 422 with the issues when a body does not fit the schema', async () => {
      const handle = await site.client.start(Fussy);
      const token = await tokenOf(handle.runId);
      await waitFor(async () => (await handle.status()) === 'waiting');
      const refused = await post(token, '{"amount":"much"}');
      expect([refused.status, await refused.json()]).toMatchObject([422, { issues: [{ path: ['amount'] }] }]);
      expect((await post(token, '{"amount":3}')).status).toBe(202);
      expect(await handle.result()).toEqual({ amount: 3 });
    });

    it('answers 429 with Retry-After when the inbox of the run is full', async () => {
      const handle = await site.client.start(Hooked, { take: 10_000 });
      const token = await tokenOf(handle.runId);
      for (const place of [1, 10_001])
        await database.query(
          `INSERT INTO durable.workflow_inbox (run_id, kind, name, payload, place, total) VALUES ($1, 'signal', 'nobody', '1', $2, $2)`,
          [handle.runId, place],
        );
      // One in eight small payloads checks the size of the inbox.
      const refused = await waitFor(async () => {
        const answer = await post(token, '{}', JSON_TYPE);
        return answer.status === 429 ? answer : undefined;
      });
      expect(refused.headers.get('retry-after')).toBe('10');
      await handle.cancel();
    });

    it('accepts a delivery id once, and answers 409 to another body with the same id', async () => {
      const { token, result } = await hooked({ idempotencyHeader: 'X-Delivery', take: 2 });
      const deliver = async (id: string, body: string): Promise<unknown[]> => {
        const answer = await post(token, body, { ...JSON_TYPE, 'x-delivery': id });
        return [answer.status, ((await answer.json()) as { status?: string }).status];
      };
      const first = await Promise.all([deliver('1', '{"n":1}'), deliver('1', '{"n":1}'), deliver('1', '{ "n": 1 }')]);
      expect(first.map(([status]) => status)).toEqual([202, 202, 202]);
      expect(first.map(([, said]) => String(said)).sort()).toEqual(['accepted', 'repeated', 'repeated']);
      expect((await deliver('1', '{"n":2}'))[0]).toBe(409);
      await deliver('2', '{"n":3}');
      expect(await result()).toMatchObject({ got: [{ n: 1 }, { n: 3 }] });
    });

    it('accepts a valid GitHub signature, and answers 401 to a missing or wrong one', async () => {
      const { token, result } = await hooked({ verify: 'github', token: `github hook of ${platform}` });
      // Bytes that no parser and serializer would reproduce.
      const body = '{ "zen":  "Ok\\u0061y é",\n"n": 1.0 }';
      const send = async (signature: string | undefined): Promise<number> =>
        (
          await post(encodeURIComponent(token), body, {
            ...JSON_TYPE,
            ...(signature === undefined ? {} : { 'x-hub-signature-256': signature }),
          })
        ).status;
      const signature = hmac(body);
      for (const wrong of [undefined, '', 'sha256=', `sha256=${hmac(`${body} `)}`, `sha256=${signature.slice(2)}`])
        expect(await send(wrong)).toBe(401);
      expect(await send(`sha256=${signature}`)).toBe(202);
      expect(await result()).toMatchObject({ got: [{ zen: 'Okay é', n: 1 }] });
    });

    it('accepts a fresh Stripe signature, and answers 401 to a stale one', async () => {
      const { token, result } = await hooked({ verify: 'stripe' });
      const body = JSON.stringify({ type: 'payment_intent.succeeded' }, null, 2);
      const send = async (seconds: number): Promise<number> =>
        (await post(token, body, { ...JSON_TYPE, 'stripe-signature': `t=${seconds},v1=${hmac(`${seconds}.${body}`)}` })).status;
      const now = Math.floor(Date.now() / 1_000);
      expect(await send(now - TOLERANCE_S - 10)).toBe(401);
      expect(await send(now)).toBe(202);
      expect(await result()).toMatchObject({ got: [{ type: 'payment_intent.succeeded' }] });
    });

    it('answers 503 when the verifier is missing and 500 when it throws, and stores nothing', async () => {
      const [unknown, broken] = [await hooked({ verify: 'nobody' }), await hooked({ verify: 'broken' })];
      expect((await post(unknown.token, '{}')).status).toBe(503);
      expect((await post(broken.token, '{}')).status).toBe(500);
      expect(site.logged).toEqual(
        expect.arrayContaining([expect.stringContaining(`@HookVerifier('nobody')`), expect.stringContaining('the keys are away')]),
      );
      expect(site.logged.join('\n')).not.toContain(unknown.token);
      expect(await database.query(`SELECT FROM durable.workflow_inbox WHERE name = ANY ($1)`, [[unknown.token, broken.token]])).toEqual([]);
    });
  });

describe('the hook endpoint', () => {
  afterEach(closeApplications);

  const hookOf = async (site: Site, options: HookOptions = {}): Promise<string> =>
    tokenOf((await site.client.start(Hooked, options)).runId);
  const status = async (url: string, headers: Record<string, string> = {}): Promise<number> =>
    (await fetch(url, { method: 'POST', body: '{}', headers: { ...JSON_TYPE, ...headers } })).status;

  it('answers 404 unless http.hooks is set', async () => {
    const site = await serve(database.url, { http: { publicUrl: 'https://shop.example' } });
    expect(await status(`${site.url}/workflow/hooks/${await hookOf(site)}`)).toBe(404);
  });

  it('uses the configured path and guards', async () => {
    const site = await serve(database.url, { http: { path: '/internal/flows', hooks: { guards: [KeyGuard] } } });
    const url = `${site.url}/internal/flows/hooks/${await hookOf(site)}`;
    expect(await status(url)).toBe(403);
    expect(await status(url, { 'x-key': 'open' })).toBe(202);
  });

  it('uses the global prefix, unless the prefix excludes the endpoint', async () => {
    const site = await serve(database.url, { http: { hooks: true } }, {}, 'express', ['api', { exclude: ['workflow/hooks/:token'] }]);
    expect(await status(`${site.url}/workflow/hooks/${await hookOf(site)}`)).toBe(202);
    const prefixed = await serve(database.url, { http: { hooks: true } }, {}, 'express', ['api']);
    expect(await status(`${prefixed.url}/api/workflow/hooks/${await hookOf(prefixed)}`)).toBe(202);
  });

  it('warns at boot when verifiers have no raw bodies, and answers 500 to requests that need verification', async () => {
    const site = await serve(database.url, { http: { hooks: true } }, {});
    expect(site.logged).toEqual([expect.stringMatching(/'github', 'stripe', 'broken'.*rawBody: true/)]);
    expect(await status(`${site.url}/workflow/hooks/${await hookOf(site, { verify: 'github' })}`)).toBe(500);
  });

  it('logs each missing or throwing verifier once, however many requests arrive', async () => {
    const site = await serve(database.url, { http: { hooks: true } });
    for (const verify of ['nobody', 'broken']) {
      const url = `${site.url}/workflow/hooks/${await hookOf(site, { verify })}`;
      for (let sent = 0; sent < 20; sent++) await status(url);
    }
    expect(site.logged).toEqual([
      expect.stringContaining("@HookVerifier('nobody')"),
      expect.stringContaining("@HookVerifier('broken') threw"),
    ]);
  });

  it('accepts a request without the requested headers, even when one is named "constructor"', async () => {
    const site = await serve(database.url, { http: { hooks: true } });
    expect(await status(`${site.url}/workflow/hooks/${await hookOf(site, { headers: ['constructor', 'x-a'] })}`)).toBe(202);
  });

  it('stores digests of deliveries encoded when a payload codec is configured', async () => {
    const flip = (bytes: Uint8Array): Uint8Array => bytes.map((byte) => byte ^ 0x5a);
    const site = await serve(database.url, { http: { hooks: true }, payloads: { codec: { encode: flip, decode: flip } } });
    const token = await hookOf(site, { idempotencyHeader: 'x-delivery', token: 'a-token-of-the-digests', take: 3 } as HookOptions);
    const url = `${site.url}/workflow/hooks/${token}`;
    const send = async (body: string): Promise<number> =>
      (await fetch(url, { method: 'POST', body, headers: { ...JSON_TYPE, 'x-delivery': '1' } })).status;
    expect([await send('{"pin":1234}'), await send('{"pin":1234}'), await send('{"pin":4321}')]).toEqual([202, 202, 409]);
    const rows = await database.query(
      `SELECT e.data FROM durable.workflow_run_log e JOIN durable.workflow_hooks h ON h.run_id = e.run_id WHERE h.token = $1 AND e.kind = 'hook_resumed'`,
      [token],
    );
    expect(rows).toEqual([{ data: { digest: { $durable: 'encoded', value: expect.any(String) } } }]);
  });

  it('verifies and accepts requests when the application has no body parser', async () => {
    const site = await serve(database.url, { http: { hooks: true } }, { bodyParser: false });
    expect(site.logged).toEqual([]);
    const url = `${site.url}/workflow/hooks/${await hookOf(site, { verify: 'github' })}`;
    expect(await status(url)).toBe(401);
    expect(await status(url, { 'x-hub-signature-256': `sha256=${hmac('{}')}` })).toBe(202);
  });
});

describe('the configuration of hooks', () => {
  afterEach(closeApplications);
  const booting = (...modules: Parameters<typeof WorkflowModule.forRoot>[0][]): Promise<unknown> =>
    bootApplication({
      imports: modules.map((module) => WorkflowModule.forRoot({ ...module, worker: false, connection: { url: database.url } })),
      providers: [],
    });

  it('is refused at boot when two modules have the same endpoint path', async () => {
    await expect(booting({ http: { hooks: true } }, { name: 'other', http: { hooks: true } })).rejects.toThrow(WorkflowConfigurationError);
    await booting({ http: { hooks: true } }, { name: 'other', http: { hooks: true, path: 'other' } });
  });

  const wrong: [string, object][] = [
    ['http.path', { path: 'a:b' }],
    ['http.path', { path: '' }],
    ['http.hooks.guards', { hooks: { guards: [Hooked] } }],
    ['http.hooks', { hooks: 'yes' }],
    ['http.publicUrl', { publicUrl: 'shop.example' }],
    ['http.publicUrl', { publicUrl: 'https://user:secret@shop.example' }],
    ['http.port', { port: 80 }],
  ];
  it.each(wrong)('is refused for an invalid %s in %j', (argument, http) => {
    expect(() => WorkflowModule.forRoot({ http })).toThrow(InvalidInputError);
    expect(() => WorkflowModule.forRoot({ http })).toThrow(expect.objectContaining({ argument }));
  });

  it('is refused at boot when two verifiers share a name', async () => {
    @HookVerifier('github')
    class Other implements HookRequestVerifier {
      verify(): boolean {
        return true;
      }
    }
    const boot = bootApplication({
      imports: [WorkflowModule.forRoot({ http: { hooks: true }, worker: false, connection: { url: database.url } })],
      providers: [GitHubVerifier, Other],
    });
    await expect(boot).rejects.toThrow(WorkflowConfigurationError);
  });
});
