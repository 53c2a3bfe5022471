import { createServer, request as forward, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';

import {
  Catch,
  Controller,
  Module,
  Post,
  VersioningType,
  type ArgumentsHost,
  type CallHandler,
  type CanActivate,
  type DynamicModule,
  type ExceptionFilter,
  type INestApplication,
  type MiddlewareConsumer,
  type NestInterceptor,
  type NestModule,
  type PipeTransform,
} from '@nestjs/common';
import { DiscoveryModule, DiscoveryService } from '@nestjs/core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { map, type Observable } from 'rxjs';

import { Workflow, WorkflowConfigurationError, WorkflowModule, type WorkflowContext } from '../../src/index.js';
import { QStashEmulator } from '../../src/testing/index.js';
import { closeApplications, closeLater } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { startPushed, type PushedApplication, type PushedSettings } from '../support/pushed-application.js';
import { seconds, waitFor } from '../support/wait.js';
import { DELIVERY, platforms, send, wakeUp } from './requests.js';

@Workflow({ name: 'two steps' })
class TwoSteps {
  async run(_input: void, ctx: WorkflowContext): Promise<number> {
    const one = await ctx.step('one', () => 1);
    return one + (await ctx.step('two', () => 2));
  }
}

/** Enhancer of every kind. Each refuses or changes requests. */
class Against implements CanActivate, PipeTransform, NestInterceptor, ExceptionFilter {
  calls = 0;
  canActivate(): boolean {
    this.calls++;
    return false;
  }
  transform(): never {
    this.calls++;
    throw new Error('refused');
  }
  intercept(_: unknown, next: CallHandler): Observable<unknown> {
    this.calls++;
    return next.handle().pipe(map((data: unknown) => ({ data, isWrapped: true })));
  }
  catch(_: unknown, host: ArgumentsHost): void {
    this.calls++;
    host.switchToHttp().getResponse<{ status(code: number): { send(body: string): void } }>().status(418).send('caught');
  }
}
Catch()(Against);

@Controller()
class TakesEverything {
  @Post('*path')
  take(): string {
    return 'taken by the application';
  }
}

@Module({ controllers: [TakesEverything] })
class Guarded implements NestModule {
  configure(consumer: MiddlewareConsumer): void {
    const refuse = (_: unknown, response: { statusCode: number; end(): void }): void => {
      response.statusCode = 403;
      response.end();
    };
    consumer.apply(refuse).forRoutes('*path');
  }
}

/** Starts a proxy that changes host, path and headers of requests. */
async function startProxy(strip: string): Promise<{ url: string; target: string; seen: IncomingHttpHeaders[] }> {
  const proxy = { url: '', target: '', seen: [] as IncomingHttpHeaders[] };
  const server = createServer((incoming, outgoing) => {
    proxy.seen.push(incoming.headers);
    const to = new URL(proxy.target);
    const headers = {
      ...incoming.headers,
      host: 'internal.example:8080',
      'x-forwarded-host': 'evil.example',
      'x-forwarded-proto': 'https',
      'x-forwarded-for': '203.0.113.7',
      'x-forwarded-prefix': '/elsewhere',
      forwarded: 'host=evil.example;proto=https',
      via: '1.1 proxy',
    };
    const { method } = incoming;
    const path = incoming.url!.startsWith(strip) ? incoming.url!.slice(strip.length) : '/lost';
    const onward = forward({ host: to.hostname, port: to.port, method, path, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode!, answer.headers);
      answer.pipe(outgoing);
    });
    onward.on('error', () => outgoing.writeHead(502).end());
    incoming.pipe(onward);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  proxy.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  closeLater({ close: async () => server.close() });
  return proxy;
}

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterEach(closeApplications);
afterAll(() => database.drop());

async function expectToWork({ client, qstash }: PushedApplication): Promise<void> {
  expect(await (await client.start(TwoSteps)).result({ timeout: seconds(15) })).toBe(3);
  await waitFor(() => qstash.deliveries.length > 0 && qstash.deliveries.every(({ status }) => status !== undefined));
  expect(qstash.deliveries.map(({ status }) => status)).toEqual(qstash.deliveries.map(() => 200));
}

for (const platform of platforms)
  (platform.isInstalled ? describe : describe.skip)(`the endpoint on ${platform.name}`, () => {
    const start = async (configure: (app: INestApplication) => unknown, settings: PushedSettings = {}): Promise<PushedApplication> => {
      const adapter = await platform.adapter();
      return startPushed(database.url, [TwoSteps], {
        ...settings,
        ...(adapter ? { adapter } : {}),
        configure: (app) => void configure(app),
      });
    };

    it.each<[string, (app: INestApplication, against: Against) => unknown]>([
      ['a global prefix', (app) => app.setGlobalPrefix('api')],
      ['versions in the path', (app) => app.enableVersioning({ type: VersioningType.URI, defaultVersion: '1' })],
      ['versions in a header', (app) => app.enableVersioning({ type: VersioningType.HEADER, header: 'x-version', defaultVersion: '1' })],
      ['versions in the media type', (app) => app.enableVersioning({ type: VersioningType.MEDIA_TYPE, key: 'v=', defaultVersion: '1' })],
      ['a global guard that denies, like a throttler', (app, against) => app.useGlobalGuards(against)],
      ['a global pipe that refuses', (app, against) => app.useGlobalPipes(against)],
      ['a global interceptor that wraps answers', (app, against) => app.useGlobalInterceptors(against)],
      ['a global exception filter', (app, against) => app.useGlobalFilters(against)],
      ['CORS', (app) => app.enableCors({ origin: 'https://shop.example' })],
    ])('does not change with %s', async (_, configure) => {
      const against = new Against();
      const pushed = await start((app) => configure(app, against));
      await expectToWork(pushed);
      expect(await send(pushed, { body: wakeUp('nobody') })).toMatchObject({ status: 200, body: { status: 'nothing' } });
      expect(await send(pushed, { body: wakeUp('nobody'), signature: undefined })).toMatchObject({
        status: 401,
        body: { status: 'not signed' },
      });
      expect(against.calls).toBe(0);
    });

    it('sends the headers that middleware sets on every answer', async () => {
      const pushed = await start((app) =>
        app.use((_: unknown, response: { setHeader(name: string, value: string): void }, next: () => void) => {
          response.setHeader('content-security-policy', "default-src 'self'");
          response.setHeader('vary', 'accept-encoding');
          next();
        }),
      );
      await expectToWork(pushed);
      const { headers } = await send(pushed, { body: wakeUp('nobody') });
      expect(headers.get('content-security-policy')).toBe("default-src 'self'");
    });

    it('accepts deliveries through a proxy that changes the host of requests', async () => {
      const proxy = await startProxy('');
      const pushed = await start((app) => app.setGlobalPrefix('api'), { options: { qstash: { targetUrl: proxy.url } } });
      proxy.target = pushed.targetUrl;
      await expectToWork(pushed);
      expect(proxy.seen.length).toBeGreaterThan(0);
    });

    it('accepts deliveries through a proxy that removes the path of the target URL', async () => {
      const proxy = await startProxy('/shops/7');
      const pushed = await start(() => undefined, { options: { qstash: { targetUrl: `${proxy.url}/shops/7/` } } });
      proxy.target = pushed.targetUrl;
      await expectToWork(pushed);
      expect(pushed.qstash.deliveries.every(({ url }) => url.startsWith(`${proxy.url}/shops/7/workflow/qstash`))).toBe(true);
    });
  });

describe('the endpoint of QStash', () => {
  it('comes before routes and middleware of the application that match every path', async () => {
    const pushed = await startPushed(database.url, [TwoSteps], { imports: [Guarded] });
    expect((await fetch(`${pushed.targetUrl}/elsewhere`, { method: 'POST' })).status).toBe(403);
    await expectToWork(pushed);
  });

  it('is no controller, so that generated API documentation does not contain it', async () => {
    const pushed = await startPushed(database.url, [TwoSteps], { imports: [DiscoveryModule] });
    expect(pushed.module.get(DiscoveryService, { strict: false }).getControllers()).toEqual([]);
    expect((await send(pushed, { path: DELIVERY, signature: undefined })).status).toBe(401);
  });

  it('refuses a second module with the same path or the same namespace', async () => {
    const qstash = await QStashEmulator.start();
    closeLater(qstash);
    const { url, token, currentSigningKey, nextSigningKey } = qstash;
    const beside = (path: string, namespace: string): DynamicModule =>
      WorkflowModule.forRoot({
        name: 'other',
        http: { path },
        transport: 'qstash',
        schema: 'other',
        connection: { url: database.url },
        qstash: { url, token, currentSigningKey, nextSigningKey, targetUrl: 'http://127.0.0.1:1', namespace },
      });
    const boot = (module: DynamicModule) => startPushed(database.url, [TwoSteps], { qstash, imports: [module] });
    await expect(boot(beside('workflow', 'other'))).rejects.toThrow(WorkflowConfigurationError);
    await expect(boot(beside('workflow', 'other'))).rejects.toThrow("http.path 'workflow'");
    await expect(boot(beside('other', 'durable'))).rejects.toThrow("qstash.namespace 'durable'");
    await expectToWork(await boot(beside('other', 'other')));
  });
});
