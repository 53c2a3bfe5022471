import type { AddressInfo } from 'node:net';

import { Catch, Controller, Get, Param, Post, UseFilters, type ArgumentsHost, type ExceptionFilter, type Provider } from '@nestjs/common';
import { APP_FILTER, ExternalContextCreator } from '@nestjs/core';
import { ClientProxyFactory, MessagePattern, Transport } from '@nestjs/microservices';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { firstValueFrom } from 'rxjs';
import { z } from 'zod';

import {
  ClosedError,
  DatabaseUnavailableError,
  HookNotFoundError,
  InvalidInputError,
  PayloadTooLargeError,
  QueryTimeoutError,
  RunNotFoundError,
  TransactionConflictError,
  Workflow,
  WorkflowClient,
  WorkflowExceptionFilter,
  WorkflowModule,
  type WorkflowContext,
} from '../../../src/index.js';
import { closeApplications, closeLater } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { freePort } from '../../support/free-port.js';
import { createHttpApplication, httpPlatforms } from '../../support/http-platforms.js';

@Workflow({ name: 'order', input: z.object({ cents: z.number() }) })
class OrderWorkflow {
  async run(input: { cents: number }, ctx: WorkflowContext): Promise<number> {
    await ctx.sleep(input.cents);
    return input.cents;
  }
}

@Workflow({ name: 'failing' })
class FailingWorkflow {
  async run(): Promise<void> {
    throw new Error('out of stock');
  }
}

const SECRET = 'connect ECONNREFUSED 10.0.0.7:5432';
const THROWN: Record<string, () => Error> = {
  closed: () => new ClosedError(),
  database: () => new DatabaseUnavailableError(SECRET),
  query: () => new QueryTimeoutError(15_000),
  conflict: () => new TransactionConflictError(['a'], '40001', SECRET),
  hook: () => new HookNotFoundError(),
  large: () => new PayloadTooLargeError('input', 10, 5),
  plain: () => new Error(SECRET),
};

@Controller('orders')
class OrdersController {
  constructor(private readonly client: WorkflowClient) {}

  @Get(':id')
  status(@Param('id') id: string): Promise<string> {
    return this.client.status(id);
  }

  @Get(':id/result')
  result(@Param('id') id: string): Promise<unknown> {
    return this.client.getHandle(id).result({ timeout: 1 });
  }

  @Post(':id/start/:cents')
  async start(@Param('id') id: string, @Param('cents') cents: string): Promise<void> {
    await this.client.start(OrderWorkflow, { cents: cents === 'many' ? (cents as never) : Number(cents) }, { id, onConflict: 'reject' });
  }

  @Post(':id/pause')
  pause(@Param('id') id: string): Promise<void> {
    return this.client.pause(id);
  }

  @Post(':id/fail')
  fail(): Promise<void> {
    return this.client.execute(FailingWorkflow);
  }

  @Get('throw/:kind')
  throw(@Param('kind') kind: string): void {
    throw THROWN[kind]!();
  }

  @MessagePattern('status')
  @UseFilters(WorkflowExceptionFilter)
  byMessage(id: string): Promise<string> {
    return this.client.status(id);
  }
}

/** Shows which errors reach the next filter. */
@Catch()
class LastFilter implements ExceptionFilter {
  catch(error: Error, host: ArgumentsHost): void {
    const response = host.switchToHttp().getResponse<{ status(code: number): { send(body: unknown): void } }>();
    response.status(418).send({ caught: error.constructor.name });
  }
}

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(async () => {
  await closeApplications();
  await database.drop();
});

for (const [platform, describeHere] of httpPlatforms) {
  describeHere(`WorkflowExceptionFilter on ${platform}`, () => {
    let url: string;
    const prefix = `${platform}-`;
    const ask = async (method: string, path: string) => {
      const response = await fetch(`${url}/orders/${path}`, { method });
      return {
        status: response.status,
        retryAfter: response.headers.get('retry-after'),
        body: await response.json().catch(() => undefined),
      };
    };

    beforeAll(async () => {
      class Root {}
      const filters: Provider[] = [LastFilter, WorkflowExceptionFilter].map((useClass) => ({ provide: APP_FILTER, useClass }));
      const module = WorkflowModule.forRoot({ worker: {}, connection: { url: database.url } });
      const root = {
        module: Root,
        imports: [module],
        controllers: [OrdersController],
        providers: [OrderWorkflow, FailingWorkflow, ...filters],
      };
      const app = closeLater(await createHttpApplication(platform, root, { logger: false, abortOnError: false }));
      await app.listen(0, '127.0.0.1');
      url = `http://127.0.0.1:${(app.getHttpServer() as { address(): AddressInfo }).address().port}`;
    });

    it('answers errors of this package with their status, code and message', async () => {
      expect(await ask('GET', 'nobody')).toEqual({
        status: 404,
        retryAfter: null,
        body: { statusCode: 404, error: 'Not Found', code: 'RUN_NOT_FOUND', message: expect.stringContaining('"nobody"') },
      });
      expect(await ask('POST', `${prefix}slow/start/60000`)).toMatchObject({ status: 201 });
      expect(await ask('POST', `${prefix}slow/start/60000`)).toMatchObject({ status: 409, body: { code: 'RUN_ALREADY_EXISTS' } });
      expect(await ask('GET', `${prefix}slow/result`)).toMatchObject({
        status: 504,
        body: { code: 'RESULT_TIMEOUT', message: 'the run has not ended yet' },
      });
      expect(await ask('POST', `${prefix}bad/start/many`)).toMatchObject({
        status: 400,
        body: { statusCode: 400, code: 'INVALID_INPUT', issues: [{ path: ['cents'], message: expect.any(String) }] },
      });
      expect(await ask('POST', `${prefix}quick/start/0`)).toMatchObject({ status: 201 });
      while ((await fetch(`${url}/orders/${prefix}quick`).then((response) => response.text())) !== 'completed');
      expect(await ask('POST', `${prefix}quick/pause`)).toMatchObject({ status: 409, body: { code: 'RUN_ENDED' } });
    });

    it.each([
      ['closed', 503],
      ['database', 503],
      ['query', 503],
      ['conflict', 409],
      ['hook', 404],
      ['large', 413],
    ])('answers a "%s" error with %i and hides its details', async (kind, status) => {
      const answer = await ask('GET', `throw/${kind}`);
      expect(answer).toMatchObject({ status, body: { statusCode: status }, retryAfter: status === 503 ? '5' : null });
      expect(JSON.stringify(answer)).not.toContain('10.0.0.7');
    });

    it('leaves every other error to the next filter', async () => {
      expect(await ask('GET', 'throw/plain')).toMatchObject({ status: 418, body: { caught: 'Error' } });
      expect(await ask('POST', '1/fail')).toMatchObject({ status: 418, body: { caught: 'WorkflowFailedError' } });
    });
  });
}

describe('WorkflowExceptionFilter', () => {
  it('works without injection, on one handler', async () => {
    @Controller('local')
    class LocalController {
      @Get()
      @UseFilters(new WorkflowExceptionFilter())
      get(): void {
        throw new RunNotFoundError('gone');
      }
    }
    class Root {}
    const root = { module: Root, controllers: [LocalController] };
    const app = closeLater(await createHttpApplication('express', root, { logger: false }));
    await app.listen(0, '127.0.0.1');
    const { port } = (app.getHttpServer() as { address(): AddressInfo }).address();
    expect((await fetch(`http://127.0.0.1:${port}/local`)).status).toBe(404);
  });

  it('gives GraphQL resolvers and other external callers the error itself', async () => {
    class Resolver {
      @UseFilters(new WorkflowExceptionFilter())
      find(): void {
        throw new RunNotFoundError('gone');
      }
    }
    class Root {}
    const root = { module: Root, providers: [Resolver, { provide: APP_FILTER, useClass: WorkflowExceptionFilter }] };
    const app = closeLater(await createHttpApplication('express', root, { logger: false }));
    await app.init();
    const resolver = app.get(Resolver);
    const creator = app.get(ExternalContextCreator);
    const call = creator.create(resolver, resolver.find, 'find', undefined, undefined, undefined, undefined, undefined, 'graphql');
    await expect((async () => call())()).rejects.toBeInstanceOf(RunNotFoundError);
  });

  it('gives callers of a microservice the error, and the process stays alive', async () => {
    class Root {}
    const module = WorkflowModule.forRoot({ connection: { url: database.url } });
    const root = { module: Root, imports: [module], controllers: [OrdersController] };
    const app = closeLater(await createHttpApplication('express', root, { logger: false }));
    const options = { host: '127.0.0.1', port: await freePort() };
    app.connectMicroservice({ transport: Transport.TCP, options });
    await app.startAllMicroservices();
    const proxy = ClientProxyFactory.create({ transport: Transport.TCP, options });
    try {
      const call = async () => firstValueFrom(proxy.send('status', 'nobody'));
      await expect(call()).rejects.toMatchObject({ code: 'RUN_NOT_FOUND' });
      await expect(call()).rejects.toMatchObject({ code: 'RUN_NOT_FOUND' });
    } finally {
      proxy.close();
    }
  });

  it('sends the error to the client of a WebSocket gateway as an exception event', () => {
    const said: unknown[] = [];
    const client = { emit: (...args: unknown[]) => void said.push(args) };
    const host = { getType: () => 'ws', switchToWs: () => ({ getClient: () => client }) };
    new WorkflowExceptionFilter().catch(new InvalidInputError('input', 'must be a number'), host as never);
    expect(said).toEqual([['exception', { status: 'error', message: 'input must be a number', code: 'INVALID_INPUT' }]]);
  });
});
