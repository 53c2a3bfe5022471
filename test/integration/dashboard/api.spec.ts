import { Injectable, type CanActivate, type ExecutionContext, type LoggerService } from '@nestjs/common';
import { afterEach, beforeEach, expect, it } from '@jest/globals';

import {
  defineSignal,
  NonRetryableError,
  Workflow,
  type DashboardOptions,
  type PayloadCodec,
  type WorkflowContext,
} from '../../../src/index.js';
import { runPath, shortened } from '../../../src/dashboard/page/api.js';
import { closeApplications } from '../../support/application.js';
import { postJson, serveDashboard, type DashboardApplication } from '../../support/dashboard-application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { httpPlatforms } from '../../support/http-platforms.js';
import { waitFor } from '../../support/wait.js';

const approved = defineSignal<{ by: string }>('approved');

@Workflow({ name: 'order' })
class Order {
  async run(input: { amount: number }, ctx: WorkflowContext): Promise<string> {
    const charged = await ctx.step('charge', () => {
      if (input.amount > 100) throw Object.assign(new NonRetryableError('the card was declined'), { code: 'DECLINED' });
      return { id: 'ch_1', note: '<script>alert(1)</script>' };
    });
    const { by } = await ctx.waitForSignal(approved);
    return `${charged.id} by ${by}`;
  }
}

@Injectable()
class AdminGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const request = context.switchToHttp().getRequest<{ headers: Record<string, string | undefined>; user?: unknown }>();
    request.user = request.headers['x-user'];
    return request.user === 'ann';
  }
}

const GUARDED = {
  guards: [AdminGuard],
  actor: ({ user }) => String(user),
} satisfies DashboardOptions;

const ANN = { 'x-user': 'ann' };

let database: TestDatabase;
beforeEach(async () => {
  database = await createTestDatabase();
});
afterEach(async () => {
  await closeApplications();
  await database.drop();
});

const read = async (address: string, headers: Record<string, string> = ANN): Promise<any> => {
  const response = await fetch(address, { headers });
  expect({ address, status: response.status, type: response.headers.get('content-type') }).toEqual({
    address,
    status: 200,
    type: 'application/json; charset=utf-8',
  });
  return response.json();
};

const waiting = async ({ client }: DashboardApplication, runId: string): Promise<void> => {
  await waitFor(async () => (await client.describe(runId)).waits.some(({ kind }) => kind === 'signal'));
};

for (const [platform, describePlatform] of httpPlatforms) {
  describePlatform(`the dashboard on ${platform}`, () => {
    const serve = (options: DashboardOptions = GUARDED, more = {}): Promise<DashboardApplication> =>
      serveDashboard(database.url, options, [Order, AdminGuard], { platform, ...more });

    it('serves the page, its files and the API to admitted users only, under a strict policy', async () => {
      const { url } = await serve();
      const address = `${url}/workflow/dashboard`;
      for (const path of ['', '/assets/index.js', '/api/overview', '/api/runs', '/api/openapi.json'])
        expect((await fetch(address + path)).status).toBe(403);
      const page = await fetch(address, { headers: ANN });
      const html = await page.text();
      expect(page.status).toBe(200);
      expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8');
      const policy = page.headers.get('content-security-policy')!;
      expect(policy).toContain("default-src 'none'");
      expect(policy).toContain("frame-ancestors 'none'");
      expect(policy).not.toContain('unsafe');
      expect(html).not.toMatch(/<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=|https?:/);
      // Its files are named relative to the address of the page, which a proxy may change.
      const files = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, file]) => file!);
      expect(files).toHaveLength(3);
      let size = 0;
      for (const file of files) {
        expect(file).toMatch(/^dashboard\/assets\//);
        const asset = await fetch(new URL(file, address), { headers: { ...ANN, 'accept-encoding': 'br' } });
        expect(asset.status).toBe(200);
        expect(asset.headers.get('cache-control')).toContain('immutable');
        const length = Number(asset.headers.get('content-length'));
        expect(length).toBeGreaterThan(0);
        size += length;
        const known = { ...ANN, 'if-none-match': `"other", W/${asset.headers.get('etag')!}` };
        expect((await fetch(new URL(file, address), { headers: known })).status).toBe(304);
      }
      expect(size).toBeLessThan(120_000);
      for (const path of ['/assets/..%2f..%2fpackage.json', '/assets/none.js', '/api/none', '/api/runs/a/b/c/d'])
        expect((await fetch(address + path, { headers: ANN })).status).toBe(404);
    });

    it('shows and changes runs with long ids', async () => {
      const { client, url } = await serve();
      const api = `${url}/workflow/dashboard/api`;
      for (const id of ['x'.repeat(255), 'é/'.repeat(120)]) {
        await client.start(Order, { amount: 500 }, { id });
        await waitFor(async () => (await client.status(id)) === 'failed');
        expect(await read(`${api}/${shortened(runPath(id))}`)).toMatchObject({ runId: id, status: 'failed' });
        const { steps } = await read(`${api}/${shortened(runPath(id, '/steps?limit=5'))}`);
        expect(steps).toHaveLength(1);
        expect((await postJson(`${api}/${shortened(runPath(id, '/delete'))}`, {}, ANN)).status).toBe(200);
        expect(await client.count({})).toBe(0);
      }
    });

    it('lists runs by filter and page, and shows one with its steps, errors and history', async () => {
      const served = await serve();
      const { client, url } = served;
      const api = `${url}/workflow/dashboard/api`;
      await client.start(Order, { amount: 5 }, { id: 'order/1', tags: { customer: 'a,b=c' } });
      await client.start(Order, { amount: 500 }, { id: 'order-2' });
      await waiting(served, 'order/1');
      await waitFor(async () => (await client.status('order-2')) === 'failed');

      const first = await read(`${api}/runs?limit=1`);
      const second = await read(`${api}/runs?limit=1&cursor=${first.cursor as string}`);
      expect(new Set([first.runs[0].runId, second.runs[0].runId])).toEqual(new Set(['order-2', 'order/1']));
      expect(second.cursor).toBeUndefined();
      const tagged = await read(`${api}/runs?tag=${encodeURIComponent('customer=a,b=c')}&createdAfter=1h`);
      expect(tagged.runs.map(({ runId }: { runId: string }) => runId)).toEqual(['order/1']);
      const counts = await read(`${api}/counts?name=order`);
      expect(counts).toMatchObject({ counts: { failed: 1 }, isComplete: true, active: { failed: 1 } });

      const run = await read(`${api}/runs/order%2F1`);
      expect(run).toMatchObject({ runId: 'order/1', input: { state: 'value', text: '{"amount":5}' }, output: { state: 'absent' } });
      const { steps } = await read(`${api}/runs/order%2F1/steps`);
      expect(steps).toMatchObject([
        { stepKey: 'charge', status: 'completed', output: { text: '{"id":"ch_1","note":"<script>alert(1)</script>"}' } },
      ]);
      const failed = await read(`${api}/runs/order-2`);
      expect(failed.error).toMatchObject({
        name: 'StepFailedError',
        stepKey: 'charge',
        cause: { message: 'the card was declined', code: 'DECLINED' },
      });
      const { entries } = await read(`${api}/runs/order-2/history`);
      expect(entries.map(({ kind }: { kind: string }) => kind)).toEqual(['run_created', 'run_started', 'step_failed', 'run_failed']);
      const { groups } = await read(`${api}/failures?since=1h`);
      expect(groups).toMatchObject([{ workflow: 'order', errorCode: 'DECLINED', failedStep: 'charge', count: 1, exampleRunId: 'order-2' }]);
      const { workflows } = await read(`${api}/workflows`);
      expect(workflows).toMatchObject([{ name: 'order', version: 1, started: 2, failed: 1, workers: 1 }]);
      const { workers } = await read(`${api}/workers`);
      expect(workers).toMatchObject([
        { isExpired: false, serves: expect.arrayContaining([{ queue: 'default', name: 'order', version: 1 }]) },
      ]);
      expect(await read(`${api}/health`)).toMatchObject({ database: { isReachable: true }, worker: { state: 'running' } });
      expect(await read(`${api}/overview`)).toMatchObject({ actor: 'ann', isReadOnly: false, showsPayloads: true });
      const missing = await fetch(`${api}/runs/none`, { headers: ANN });
      expect([missing.status, await missing.json()]).toMatchObject([404, { code: 'RUN_NOT_FOUND' }]);
      for (const query of ['nmae=a', 'createdAfter=2months', 'limit=0', 'limit=5000', 'status=done', 'cursor=x', 'tag=a']) {
        const refused = await fetch(`${api}/runs?${query}`, { headers: ANN });
        expect([query, refused.status]).toEqual([query, 400]);
      }
    });

    it('believes the address in the headers of a proxy only when the application trusts the proxy', async () => {
      const changed = async ({ url }: DashboardApplication, headers: Record<string, string>): Promise<number> =>
        (await postJson(`${url}/workflow/dashboard/api/runs/none/cancel`, {}, { ...ANN, ...headers })).status;
      // A run that does not exist cannot be cancelled: its route answers with 404.
      const cases: readonly (readonly [headers: Record<string, string>, trusting: number, other: number])[] = [
        [{ origin: 'https://shop.example', 'x-forwarded-host': 'shop.example', 'x-forwarded-proto': 'https' }, 404, 403],
        [{ origin: 'https://shop.example', 'x-forwarded-host': 'shop.example:443' }, 404, 403],
        [{ origin: 'http://shop.example:8080', 'x-forwarded-host': 'shop.example:8080' }, 404, 403],
        [{ origin: 'http://shop.example:8080', 'x-forwarded-host': 'shop.example' }, 403, 403],
        [{ origin: 'https://evil.example', 'x-forwarded-host': 'shop.example' }, 403, 403],
        [{ origin: 'https://evil.example', 'x-forwarded-host': '::' }, 403, 403],
        [{ origin: 'https://shop.example', 'x-forwarded-host': 'shop.example', 'sec-fetch-site': 'cross-site' }, 403, 403],
        // A browser that names the site needs no trust in the proxy.
        [{ origin: 'https://shop.example', 'sec-fetch-site': 'same-origin' }, 404, 404],
      ];
      const statuses = async (trusted: readonly string[]): Promise<number[]> => {
        const served = await serve(GUARDED, { trusted, options: { worker: false } });
        const found: number[] = [];
        for (const [headers] of cases) found.push(await changed(served, headers));
        expect(await changed(served, { origin: served.url })).toBe(404);
        return found;
      };
      expect(await statuses([])).toEqual(cases.map(([, , other]) => other));
      expect(await statuses(['10.0.0.1'])).toEqual(cases.map(([, , other]) => other));
      expect(await statuses(['127.0.0.1'])).toEqual(cases.map(([, trusting]) => trusting));
    });

    it('describes every address of the API in its OpenAPI document', async () => {
      const { url } = await serve();
      const api = `${url}/workflow/dashboard/api`;
      const { paths } = await read(`${api}/openapi.json`);
      expect(Object.keys(paths).length).toBeGreaterThan(20);
      for (const [path, operations] of Object.entries<Record<string, { parameters: { in: string; name: string }[] }>>(paths)) {
        const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
        for (const [method, { parameters }] of Object.entries(operations)) {
          expect(parameters.filter((each) => each.in === 'path').map(({ name }) => name)).toEqual(named);
          const address = api + path.replaceAll(/\{\w+\}/g, 'none');
          const response = method === 'get' ? await fetch(address, { headers: ANN }) : await postJson(address, {}, ANN);
          // An address that no route serves has no code.
          const body = (await response.json()) as object;
          expect({ path, method, isServed: response.ok || 'code' in body }).toEqual({ path, method, isServed: true });
        }
      }
    });
  });
}

const serve = (options: DashboardOptions = GUARDED, more = {}): Promise<DashboardApplication> =>
  serveDashboard(database.url, options, [Order, AdminGuard], more);

it('makes each change with the name of the user and the reason', async () => {
  const served = await serve();
  const { client, url } = served;
  const act = async (runId: string, action: string, body: Record<string, unknown> = {}): Promise<{ runId: string }> => {
    const response = await postJson(`${url}/workflow/dashboard/api/runs/${runId}/${action}`, body, ANN);
    const answer = await response.json();
    expect({ action, status: response.status, answer }).toMatchObject({ action, status: 200 });
    return answer as { runId: string };
  };
  const reason = 'because';
  const noted = async (runId: string, kind: string): Promise<void> => {
    await waitFor(async () => (await client.history(runId, { follow: false })).entries.some((entry) => entry.kind === kind), {
      message: `${kind} of ${runId}`,
    });
    const { entries } = await client.history(runId, { follow: false });
    expect(entries.find((entry) => entry.kind === kind)?.data).toMatchObject({ actor: 'ann', reason });
  };

  for (const id of ['a', 'b', 'c']) {
    await client.start(Order, { amount: 1 }, { id });
    await waiting(served, id);
  }
  await act('a', 'pause', { reason });
  await waitFor(async () => (await client.status('a')) === 'paused');
  await noted('a', 'paused');
  await act('a', 'resume', { reason });
  await noted('a', 'resumed');
  await act('a', 'signal', { name: 'approved', payload: { by: 'bob' } });
  expect(await client.getHandle('a').result()).toBe('ch_1 by bob');
  const fork = await act('a', 'fork', { fromStep: 'charge', reason });
  expect(fork.runId).not.toBe('a');
  await noted(fork.runId, 'forked');
  await act('b', 'cancel', { reason });
  await waitFor(async () => (await client.status('b')) === 'cancelled');
  await noted('b', 'cancel_requested');
  await act('c', 'terminate', { reason });
  await noted('c', 'terminated');
  await act('c', 'delete', { reason });
  await expect(client.status('c')).rejects.toMatchObject({ code: 'RUN_NOT_FOUND' });

  await client.start(Order, { amount: 500 }, { id: 'd' });
  await waitFor(async () => (await client.status('d')) === 'failed');
  await act('d', 'retry', { reason, fromStep: 'charge' });
  await waitFor(async () => (await client.describe('d')).generation === 1 && (await client.status('d')) === 'failed');
  await noted('d', 'retried');
  await act('d', 'resolve-step', { stepKey: 'charge', output: { id: 'by hand' }, reason });
  await waiting(served, 'd');
  await noted('d', 'step_resolved');
});

it('counts the runs of a bulk operation before it changes them', async () => {
  const { client, url } = await serve();
  const api = `${url}/workflow/dashboard/api/bulk`;
  await client.startMany(Order, [{ amount: 500 }, { amount: 501 }], { tags: { day: 'x' } });
  await waitFor(async () => (await client.count({ status: 'failed' })) === 2);
  expect((await postJson(`${api}/delete/count`, { filter: '' }, ANN)).status).toBe(400);
  expect((await postJson(`${api}/delete/count`, { filter: 'tag=' }, ANN)).status).toBe(400);
  expect((await postJson(`${api}/paint/count`, { filter: 'tag=day%3Dx' }, ANN)).status).toBe(400);
  const preview = (await (await postJson(`${api}/delete/count`, { filter: 'tag=day%3Dx', reason: 'tidy' }, ANN)).json()) as any;
  expect(preview.count).toBe(2);
  expect(await client.count({})).toBe(2);
  expect((await postJson(`${api}/retry/start`, { token: preview.token }, ANN)).status).toBe(400);
  expect((await postJson(`${api}/delete/start`, { token: preview.token, rate: 100 }, ANN)).status).toBe(200);
  const status = await waitFor(async () => {
    const found = await read(`${api}/${preview.token as string}`);
    return found.state === 'completed' && found;
  });
  expect(status).toMatchObject({ kind: 'delete', count: 2, done: 2 });
  expect(await client.count({})).toBe(0);
});

it('changes nothing for requests that are unauthenticated, from other sites, or of another method', async () => {
  const { client, url } = await serve();
  await client.start(Order, { amount: 500 }, { id: 'a' });
  await waitFor(async () => (await client.status('a')) === 'failed');
  const address = `${url}/workflow/dashboard/api/runs/a/delete`;
  const json = { 'content-type': 'application/json' };
  const marked = { ...ANN, ...json, 'x-durable-dashboard': '1' };
  const post = (headers: Record<string, string>, body = '{}'): RequestInit => ({ method: 'POST', headers, body });
  const refused: readonly (readonly [RequestInit, number])[] = [
    [post({ ...json, 'x-durable-dashboard': '1' }), 403],
    [post({ ...ANN, ...json }), 403],
    [post({ ...marked, origin: 'https://evil.example' }), 403],
    [post({ ...marked, origin: 'null' }), 403],
    [post({ ...marked, 'sec-fetch-site': 'cross-site' }), 403],
    [post({ ...marked, 'sec-fetch-site': 'same-site' }), 403],
    [post({ ...marked, 'sec-fetch-site': 'none' }), 403],
    [post({ ...ANN, 'x-durable-dashboard': '1', 'content-type': 'text/plain' }), 403],
    [post({ ...ANN, 'x-durable-dashboard': '1', 'content-type': 'application/x-www-form-urlencoded' }, 'a=b'), 403],
    [post(marked, '{"unknown":1}'), 400],
    [post(marked, '[]'), 400],
    [post(marked, '{"reason":5}'), 400],
    [{ headers: marked }, 404],
    [{ headers: { ...marked, 'x-http-method-override': 'POST' } }, 404],
    [{ method: 'PUT', headers: marked, body: '{}' }, 404],
    [{ method: 'DELETE', headers: marked }, 404],
  ];
  for (const [init, status] of refused) expect([init, (await fetch(address, init)).status]).toEqual([init, status]);
  const foreign: Record<string, string>[] = [{ 'sec-fetch-site': 'cross-site' }, { origin: 'http://evil.example' }];
  for (const headers of foreign)
    expect((await fetch(`${url}/workflow/dashboard/api/runs`, { headers: { ...ANN, ...headers } })).status).toBe(403);
  expect(await client.status('a')).toBe('failed');
  // The origin of the page itself.
  expect((await postJson(address, {}, { ...ANN, origin: url, 'sec-fetch-site': 'same-origin' })).status).toBe(200);
});

it('logs each change with the user and the reason, as fields for loggers that write JSON', async () => {
  const lines: unknown[] = [];
  const take = (line: unknown): void => void lines.push(line);
  // The property `logger` marks a logger that writes JSON.
  const logger = { log: take, warn: take, error: take, logger: {} } as LoggerService;
  const { client, url } = await serve(GUARDED, { logger });
  const api = `${url}/workflow/dashboard/api`;
  await client.start(Order, { amount: 5 }, { id: 'order/1' });
  await client.schedules.create('hourly', { workflow: Order, cron: '0 * * * *', input: { amount: 500 } });
  const body = { name: 'approved', payload: { by: 'bob' }, reason: 'she called\n[forged]' };
  expect((await postJson(`${api}/${runPath('order/1', '/signal')}`, body, ANN)).status).toBe(200);
  for (const path of ['queues/default/pause', 'queues/default/resume', 'schedules/hourly/pause', 'schedules/hourly/trigger'])
    expect([path, (await postJson(`${api}/${path}`, { reason: 'because' }, ANN)).status]).toEqual([path, 200]);
  // Refused changes are no changes.
  expect((await postJson(`${api}/queues/default/configure`, { limits: { concurrency: 0 } }, ANN)).status).toBe(400);
  expect((await postJson(`${api}/queues/default/pause`, { reason: 'x'.repeat(256) }, ANN)).status).toBe(400);
  const changes = lines.filter((line) => String((line as { message?: unknown }).message).startsWith('dashboard: change'));
  expect(changes).toMatchObject([
    { change: 'runs/order%2F1/signal', actor: 'ann', reason: 'she called\n[forged]' },
    { change: 'queues/default/pause', actor: 'ann', reason: 'because' },
    { change: 'queues/default/resume', actor: 'ann', reason: 'because' },
    { change: 'schedules/hourly/pause', actor: 'ann', reason: 'because' },
    { change: 'schedules/hourly/trigger', actor: 'ann', reason: 'because' },
  ]);
  expect(changes.every((line) => !String((line as { message: unknown }).message).includes('\n'))).toBe(true);
});

it('refuses every change when it is read-only', async () => {
  const { client, url } = await serve({ ...GUARDED, readOnly: true });
  await client.start(Order, { amount: 500 }, { id: 'a' });
  await waitFor(async () => (await client.status('a')) === 'failed');
  const { paths } = await read(`${url}/workflow/dashboard/api/openapi.json`);
  for (const [path, operations] of Object.entries<object>(paths)) {
    if (!('post' in operations)) continue;
    const response = await postJson(`${url}/workflow/dashboard/api${path.replace('{runId}', 'a')}`, { name: 'approved' }, ANN);
    expect([path, response.status]).toEqual([path, 403]);
  }
  expect(await client.status('a')).toBe('failed');
});

const codec: PayloadCodec = {
  encode: (payload) => Uint8Array.from(payload, (byte) => byte ^ 0x55),
  decode: (stored) => Uint8Array.from(stored, (byte) => byte ^ 0x55),
};

it.each([
  ['encrypted', 'unreadable'],
  ['visible', 'value'],
] as const)('shows payloads of a codec as %s', async (payloads, state) => {
  const served = await serve({ ...GUARDED, payloads }, { options: { payloads: { codec } } });
  const { client, url } = served;
  const api = `${url}/workflow/dashboard/api`;
  await client.start(Order, { amount: 7 }, { id: 'a' });
  await waiting(served, 'a');
  const run = await fetch(`${api}/runs/a`, { headers: ANN });
  const text = await run.text();
  expect(JSON.parse(text)).toMatchObject({ input: { state } });
  expect(text.includes('amount')).toBe(payloads === 'visible');
  expect((await read(`${api}/runs/a/steps`)).steps).toMatchObject([{ output: { state } }]);
  const history = JSON.stringify(await read(`${api}/runs/a/history`));
  expect(history.includes('ch_1')).toBe(payloads === 'visible');
});

it('cuts large payloads, shows whole ones on request, and does not fail on deep ones', async () => {
  const served = await serve();
  const { client, url } = served;
  const input = { amount: 1, text: 'x'.repeat(5_000) };
  await client.start(Order, input, { id: 'a' });
  await waiting(served, 'a');
  const api = `${url}/workflow/dashboard/api`;
  expect((await read(`${api}/runs/a`)).input).toMatchObject({ isCut: true, length: JSON.stringify(input).length });
  expect(JSON.parse((await read(`${api}/runs/a?payloads=full`)).input.text)).toEqual(input);
  await waiting(served, 'a');
  const query = `UPDATE durable.workflow_runs SET input = $1 WHERE id = 'a'`;
  await served.app.get('nestjs-durable:runtime', { strict: false }).database.pool.query(query, ['['.repeat(6_000) + ']'.repeat(6_000)]);
  expect(['value', 'unreadable']).toContain((await read(`${api}/runs/a`)).input.state);
});

it('is open without guards during development, and closed in production', async () => {
  const before = process.env['NODE_ENV'];
  try {
    const open = await serve({});
    expect((await fetch(`${open.url}/workflow/dashboard`)).status).toBe(200);
    expect(await read(`${open.url}/workflow/dashboard/api/overview`, {})).toMatchObject({ actor: 'dashboard' });
    await closeApplications();
    process.env['NODE_ENV'] = 'production';
    const closed = await serve({});
    for (const path of ['', '/api/overview']) expect((await fetch(`${closed.url}/workflow/dashboard${path}`)).status).toBe(404);
    await closeApplications();
    const guarded = await serve();
    expect((await fetch(`${guarded.url}/workflow/dashboard`, { headers: ANN })).status).toBe(200);
  } finally {
    process.env['NODE_ENV'] = before;
  }
});
