// Must be the first import: instrumentations patch modules before others load them.
import './tracing-setup.js';

import { existsSync } from 'node:fs';
import http from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

import { Body, Controller, Get, Module, Param, Post } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { trace } from '@opentelemetry/api';
import pg from 'pg';

import {
  currentStep,
  defineSignal,
  Workflow,
  WorkflowClient,
  WorkflowModule,
  type WorkerOptions,
  type WorkflowContext,
} from '../../src/index.js';
import { onePass } from '../support/one-pass.js';
import { seconds } from '../support/wait.js';

/** Settings that the test passes to this process. */
interface TracedSettings {
  readonly url: string;
  readonly file: string;
  readonly worker: WorkerOptions | false;
  /** A file for which the step `gate` waits; without one the step does not wait. */
  readonly gate?: string;
}

const settings = JSON.parse(process.env['TRACED_SETTINGS']!) as TracedSettings;
const pool = new pg.Pool({ connectionString: settings.url, max: 2 });
pool.on('error', () => undefined);

const approved = defineSignal<string>('approved');

let ownUrl = '';

/** Calls this process over HTTP, as a step calls another service. */
async function ping(): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    http.get(`${ownUrl}/ping`, (response) => response.resume().once('end', resolve)).once('error', reject);
  });
}

@Workflow({ name: 'shipping' })
class Shipping {
  async run(_secret: string, ctx: WorkflowContext): Promise<string> {
    await ctx.step('label', () => pool.query('SELECT 1').then(() => 'label'));
    return ctx.step('hand-over', async () => {
      if (ownUrl !== '') await ping();
      return 'shipped';
    });
  }
}

@Workflow({ name: 'order' })
class Order {
  async run(secret: string, ctx: WorkflowContext): Promise<string> {
    await ctx.step('reserve', () => pool.query('SELECT 1').then(() => secret));
    trace.getTracer('application').startActiveSpan('between steps', (span) => span.end());
    await ctx.step('charge', { retry: { maxAttempts: 2, initialInterval: '1ms' } }, () => {
      if (currentStep().attempt === 1) throw Object.assign(new Error(secret), { code: 'CARD_DECLINED' });
    });
    await ctx.step('gate', async () => {
      process.stdout.write('at the gate\n');
      while (settings.gate !== undefined && !existsSync(settings.gate)) await sleep(10);
    });
    // Longer than a loaded machine takes to suspend the run.
    await ctx.sleep(seconds(0.5));
    await ctx.waitForSignal(approved);
    return ctx.invoke(Shipping, secret);
  }
}

@Controller()
class OrdersController {
  constructor(private readonly client: WorkflowClient) {}

  @Post('orders')
  async create(@Body() { secret }: { secret: string }): Promise<{ runId: string }> {
    const { runId } = await this.client.start(Order, secret);
    return { runId };
  }

  @Post('orders/:id/approval')
  async approve(@Param('id') id: string): Promise<void> {
    await this.client.signal(id, approved, 'by ann');
  }

  @Get('ping')
  ping(): string {
    return 'pong';
  }
}

@Module({
  imports: [
    WorkflowModule.forRoot({ connection: { url: settings.url }, worker: settings.worker === false ? false : onePass(settings.worker) }),
  ],
  controllers: [OrdersController],
  providers: [Shipping, Order],
})
class TracedModule {}

async function main(): Promise<void> {
  const app = await NestFactory.create(TracedModule, { logger: ['error'], abortOnError: false });
  app.enableShutdownHooks();
  await app.listen(0, '127.0.0.1');
  ownUrl = await app.getUrl();
  process.stdout.write(`ready ${ownUrl}\n`);
}

main().catch((error: unknown) => {
  process.stderr.write(`${String(error)}\n`);
  process.exit(1);
});
