import type { AddressInfo } from 'node:net';

import { Injectable, SetMetadata, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { APP_GUARD, Reflector } from '@nestjs/core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { InvalidInputError, Workflow, WorkflowClient, WorkflowModule, type HttpOptions, type WorkflowContext } from '../../../src/index.js';
import { bootApplication, closeApplications, closeLater } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { createHttpApplication } from '../../support/http-platforms.js';

@Workflow({ name: 'hooked' })
class HookedWorkflow {
  async run(_input: void, ctx: WorkflowContext): Promise<string> {
    return (await ctx.hook({ token: 'token-of-the-options-test' })).url;
  }
}

const Public = () => SetMetadata('isPublic', true);

@Injectable()
class UserGuard implements CanActivate {
  constructor(private readonly reflector: Reflector) {}

  canActivate(context: ExecutionContext): boolean {
    return this.reflector.getAllAndOverride<boolean>('isPublic', [context.getHandler(), context.getClass()]);
  }
}

describe('the http options', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(closeApplications);
  afterAll(() => database.drop());

  const boot = (http: HttpOptions, given: object) =>
    bootApplication({
      imports: [
        WorkflowModule.forRootAsync({
          http,
          useFactory: () => ({ worker: {}, connection: { url: database.url }, ...given }),
        }),
      ],
      providers: [HookedWorkflow],
    });

  it('take the public URL from the factory of forRootAsync', async () => {
    const http = { path: 'callbacks', publicUrl: 'https://beside.example' };
    const client = (await boot(http, { http: { publicUrl: 'https://shop.example/' } })).get(WorkflowClient);
    await expect(client.execute(HookedWorkflow)).resolves.toMatch(/^https:\/\/shop\.example\/callbacks\/hooks\//);
    await closeApplications();
    for (const nothing of [{}, { http: undefined }, { http: {} }]) {
      const beside = (await boot(http, nothing)).get(WorkflowClient);
      await expect(beside.execute(HookedWorkflow)).resolves.toMatch(/^https:\/\/beside\.example\/callbacks\/hooks\//);
      await closeApplications();
    }
  });

  it.each<[string, object, RegExp]>([
    ['http.path', { http: { path: 'x' } }, /^http\.path is fixed.*beside the factory/],
    ['http.hooks', { http: { hooks: true } }, /^http\.hooks is fixed.*beside the factory/],
    ['http.qstash', { http: { qstash: false } }, /^http\.qstash is fixed.*beside the factory/],
    ['name', { name: 'billing' }, /^name is fixed.*beside the factory/],
    ['isGlobal', { isGlobal: false }, /^isGlobal is fixed.*beside the factory/],
    ['dataSource', { dataSource: 'other' }, /^dataSource is fixed.*beside the factory/],
    ['a misspelt option', { http: { publicURL: 'https://shop.example' } }, /^http\.publicURL is not an option/],
    ['an invalid URL', { http: { publicUrl: 'shop' } }, /^http\.publicUrl must be a URL/],
    ['a number as http', { http: 5 }, /^http must be an object/],
  ])('the factory of forRootAsync is refused when it gives %s', async (_, given, message) => {
    const booting = boot({}, given);
    await expect(booting).rejects.toThrow(message);
    await expect(booting).rejects.toBeInstanceOf(InvalidInputError);
  });

  const serve = async (http: HttpOptions): Promise<string> => {
    class Root {}
    const module = WorkflowModule.forRoot({ connection: { url: database.url }, http });
    const root = { module: Root, imports: [module], providers: [{ provide: APP_GUARD, useClass: UserGuard }] };
    const app = closeLater(await createHttpApplication('express', root, { logger: false, abortOnError: false }));
    await app.listen(0, '127.0.0.1');
    const { port } = (app.getHttpServer() as { address(): AddressInfo }).address();
    return `http://127.0.0.1:${port}/workflow/hooks/token-that-nobody-has`;
  };

  it('decorate the endpoint of hooks with metadata that a global guard reads', async () => {
    const statusOf = async (url: string) => (await fetch(url, { method: 'POST' })).status;
    expect(await statusOf(await serve({ hooks: true }))).toBe(403);
    expect(await statusOf(await serve({ hooks: { decorators: [Public()] } }))).toBe(404);
  });

  it('keep the endpoint of hooks out of the documents of @nestjs/swagger', async () => {
    const { controllers } = WorkflowModule.forRoot({ http: { hooks: true } });
    expect(Reflect.getMetadata('swagger/apiExcludeController', controllers![0]!)).toEqual([true]);
  });

  it.each<[string, object]>([
    ['http.hooks.guards', { hooks: { guards: [5] } }],
    ['http.hooks.decorators', { hooks: { decorators: ['Public'] } }],
    ['http.hooks.decorators', { hooks: { decorators: Public() } }],
    ['http.hooks.decorator', { hooks: { decorator: [] } }],
  ])('are refused by name: %s in %j', (name, http) => {
    expect(() => WorkflowModule.forRoot({ http })).toThrow(name);
  });
});
