import type { AddressInfo } from 'node:net';

import { Injectable, type CallHandler, type CanActivate, type ExecutionContext, type NestInterceptor } from '@nestjs/common';
import { APP_INTERCEPTOR } from '@nestjs/core';
import { afterAll, afterEach, beforeAll, expect, it } from '@jest/globals';
import { map, type Observable } from 'rxjs';

import { Workflow, WorkflowConfigurationError, WorkflowClient, WorkflowModule, type HttpOptions } from '../../../src/index.js';
import { bootApplication, closeApplications, closeLater } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { createHttpApplication, httpPlatforms, type HttpPlatform } from '../../support/http-platforms.js';
import { parseExposition, valueOf } from '../../support/prometheus.js';

@Workflow({ name: 'order' })
class Order {
  async run(): Promise<string> {
    return 'done';
  }
}

@Injectable()
class TokenGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const { authorization } = context.switchToHttp().getRequest<{ headers: Record<string, string | undefined> }>().headers;
    return authorization === 'Bearer scraper';
  }
}

/** Wraps each response of the application into an object. */
@Injectable()
class Envelope implements NestInterceptor {
  intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(map((data: unknown) => ({ data })));
  }
}

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterEach(closeApplications);
afterAll(() => database.drop());

async function serve(platform: HttpPlatform, http: HttpOptions): Promise<{ url: string; client: WorkflowClient }> {
  class Root {}
  const module = WorkflowModule.forRoot({ connection: { url: database.url }, worker: {}, http });
  const root = { module: Root, imports: [module], providers: [Order, { provide: APP_INTERCEPTOR, useClass: Envelope }] };
  const app = closeLater(await createHttpApplication(platform, root, { logger: false, abortOnError: false }));
  await app.listen(0, '127.0.0.1');
  const { port } = (app.getHttpServer() as { address(): AddressInfo }).address();
  return { url: `http://127.0.0.1:${port}`, client: app.get(WorkflowClient) };
}

const SCRAPER = { headers: { authorization: 'Bearer scraper' } };

for (const [platform, describePlatform] of httpPlatforms) {
  describePlatform(`the endpoint for metrics on ${platform}`, () => {
    it('does not exist by default, and not with false', async () => {
      for (const http of [{}, { metrics: false }, { hooks: true }] satisfies HttpOptions[]) {
        const { url } = await serve(platform, http);
        expect((await fetch(`${url}/workflow/metrics`, SCRAPER)).status).toBe(404);
        await closeApplications();
      }
    });

    it('answers only callers that its guards admit', async () => {
      const { url, client } = await serve(platform, { metrics: { guards: [TokenGuard] } });
      await client.execute(Order);
      expect((await fetch(`${url}/workflow/metrics`)).status).toBe(403);
      const response = await fetch(`${url}/workflow/metrics`, SCRAPER);
      expect(response.status).toBe(200);
      expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
      const metrics = parseExposition(await response.text());
      expect(valueOf(metrics, 'nestjs_durable_runs_ended_total', { workflow: 'order', status: 'completed' })).toBe(1);
      expect(valueOf(metrics, 'nestjs_durable_database_up')).toBe(1);
    });

    it('is at the path that the option names', async () => {
      const { url } = await serve(platform, { metrics: { path: '/metrics', guards: [] } });
      expect((await fetch(`${url}/workflow/metrics`)).status).toBe(404);
      expect((await fetch(`${url}/metrics`)).status).toBe(200);
    });
  });
}

it('two modules that return their metrics at one path are refused at boot', async () => {
  const module = (name: string) =>
    WorkflowModule.forRoot({
      name,
      schema: name,
      connection: { url: database.url },
      worker: false,
      http: { path: name, metrics: { path: 'metrics', guards: [] } },
    });
  const booting = bootApplication({ imports: [module('one'), module('two')] });
  await expect(booting).rejects.toBeInstanceOf(WorkflowConfigurationError);
  await expect(booting).rejects.toThrow('two WorkflowModules return their metrics at "metrics"');
});

it.each<[string, object]>([
  ['http.metrics', { path: 'metrics' }],
  ['http.metrics.guards', { guards: [5] }],
  ['http.metrics.decorators', { guards: [], decorators: ['Public'] }],
  ['http.metrics.path', { guards: [], path: 'a b' }],
  ['http.metrics.route', { route: 'metrics' }],
])('a wrong option is refused by name: %s in %j', (name, metrics) => {
  expect(() => WorkflowModule.forRoot({ http: { metrics: metrics as HttpOptions['metrics'] } })).toThrow(name);
});
