import { randomUUID } from 'node:crypto';
import type { AddressInfo, Server } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import { Module, type INestApplicationContext, type LoggerService } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import pg from 'pg';
import { onePass } from '../support/one-pass.js';

import {
  currentStep,
  defineSignal,
  Step,
  Workflow,
  WorkflowClient,
  WorkflowModule,
  type QStashOptions,
  type WorkerOptions,
  type WorkflowContext,
} from '../../src/index.js';
import { skewClock } from '../support/skewed-clock.js';

/** Settings that the test passes to this process. */
interface FaultWorkerSettings {
  /** The URL to which the module connects, perhaps that of a proxy. */
  url: string;
  /** The URL of the database that counts bodies. */
  countUrl: string;
  worker?: WorkerOptions;
  listen?: boolean | { url: string };
  pooler?: 'transaction';
  hooks?: boolean;
  /** Driven by QStash, over HTTP. */
  qstash?: QStashOptions;
  /** With `qstash`: whether its worker polls as well. Default `qstash`. */
  transport?: 'qstash' | 'both';
  /** The id of a run of `gated` that this process starts itself, once it executes runs. */
  starts?: string;
  /** Variant of the code of the workflow `versioned` in this deployment. */
  variant?: 'old' | 'new' | 'fits both';
  /** Milliseconds by which this machine's clock is ahead of the database's. */
  skewMs?: number;
}

const settings = JSON.parse(process.env['FAULT_SETTINGS']!) as FaultWorkerSettings;
if (settings.skewMs) skewClock(settings.skewMs);
const counter = new pg.Pool({ connectionString: settings.countUrl, max: 4 });
counter.on('error', () => undefined);

const say = (line: string): void => void process.stdout.write(`${line}\n`);

/** Each execution of a body leaves a row, whatever becomes of its result. */
async function count(): Promise<void> {
  const { runId, stepKey } = currentStep();
  await counter.query('INSERT INTO bodies (run_id, step_key, pid) VALUES ($1, $2, $3)', [runId, stepKey, process.pid]);
}

@Workflow({ name: 'adder' })
class AdderWorkflow {
  async run(input: { steps: number; ms: number }): Promise<number> {
    let sum = 0;
    for (let index = 1; index <= input.steps; index++) sum += await this.add(index, input.ms);
    return sum;
  }

  @Step()
  async add(value: number, ms: number): Promise<number> {
    await count();
    await sleep(ms);
    return value;
  }
}

@Workflow({ name: 'poison' })
class PoisonWorkflow {
  async run(_input: unknown, ctx: WorkflowContext): Promise<void> {
    await ctx.step('explode', async () => {
      await count();
      process.kill(process.pid, 'SIGKILL');
      await sleep(10_000);
    });
  }
}

/**
 * A workflow whose body lasts until the test opens its gate, and reports its abort. It blocks the
 * event loop when the test asks for that.
 */
@Workflow({ name: 'gated' })
class GatedWorkflow {
  async run(input: { blockMs?: number; deaf?: boolean }, ctx: WorkflowContext): Promise<string> {
    const first = await ctx.step('gate', () => this.wait(input));
    return ctx.step('after', async () => {
      await count();
      return `${first}, then over`;
    });
  }

  private async wait({ blockMs = 0, deaf = false }: { blockMs?: number; deaf?: boolean }): Promise<string> {
    await count();
    const { runId, abortSignal } = currentStep();
    abortSignal.addEventListener('abort', () => {
      say(`aborted ${runId}: ${(abortSignal.reason as Error).name}`);
    });
    say(`body ${runId}`);
    for (let hasBlocked = blockMs === 0; ;) {
      if (!deaf && abortSignal.aborted) throw new Error('stopped');
      const { rows } = await counter.query<{ run_id: string }>('SELECT run_id FROM gates WHERE starts_with(run_id, $1)', [runId]);
      if (rows.some((row) => row.run_id === runId)) return 'opened';
      if (!hasBlocked && rows.some((row) => row.run_id === `${runId}:${process.pid}`)) {
        hasBlocked = true;
        for (const until = Date.now() + blockMs; Date.now() < until;);
      }
      await sleep(20);
    }
  }
}

/**
 * Takes about four times `ms`: a sleep, the pause of a retry, a wait that times out, and a sleep
 * until.
 */
@Workflow({ name: 'waiting' })
class WaitingWorkflow {
  async run({ ms }: { ms: number }, ctx: WorkflowContext): Promise<string> {
    await ctx.sleep(ms);
    await ctx.step('again', { retry: { initialInterval: ms, jitter: false } }, () => {
      if (currentStep().attempt === 1) throw new Error('not yet');
    });
    const signal = await ctx.waitForSignal(defineSignal('never'), { timeout: ms });
    await ctx.sleepUntil(new Date(ctx.now().getTime() + ms));
    return `signal ${String(signal)}`;
  }
}

/** Writes chunks in `run` and in the bodies of steps, slowly. */
@Workflow({ name: 'telling' })
class TellingWorkflow {
  async run({ steps, chunks, ms }: { steps: number; chunks: number; ms: number }, ctx: WorkflowContext): Promise<void> {
    const out = ctx.stream<string>('story');
    for (let step = 0; step < steps; step++) {
      await out.write(`chapter ${step}`);
      await ctx.step(`tell ${step}`, async () => {
        await count();
        for (let chunk = 0; chunk < chunks; chunk++) {
          await out.write(`${step}.${chunk}`);
          await sleep(ms);
        }
      });
    }
  }
}

/** A body that computes, and lets nothing else happen meanwhile. */
@Workflow({ name: 'busy' })
class BusyWorkflow {
  async run({ ms }: { ms: number }, ctx: WorkflowContext): Promise<void> {
    await ctx.step('compute', async () => {
      await count();
      for (const until = performance.now() + ms; performance.now() < until;);
    });
  }
}

/** Each body waits for a gate of its own, and no two executions of one return the same. */
@Workflow({ name: 'diary' })
class DiaryWorkflow {
  async run(input: { pages: number }, ctx: WorkflowContext): Promise<string[]> {
    const written: string[] = [];
    for (let page = 1; page <= input.pages; page++) written.push(await ctx.step(`page-${page}`, () => this.write(page)));
    return written;
  }

  private async write(page: number): Promise<string> {
    await count();
    const { runId, abortSignal } = currentStep();
    say(`body ${runId}/${page}`);
    for (;;) {
      const { rows } = await counter.query('SELECT 1 FROM gates WHERE run_id = $1', [`${runId}/${page}`]);
      if (rows.length > 0) return `${page}: ${randomUUID()}`;
      if (abortSignal.aborted) throw new Error('stopped');
      await sleep(20);
    }
  }
}

@Workflow({ name: 'versioned' })
class VersionedWorkflow {
  async run(input: { sleepMs: number } | undefined, ctx: WorkflowContext): Promise<string> {
    const first = settings.variant === 'new' ? 'reserve' : 'charge';
    await ctx.step(first, count);
    // A test ends the hour by moving the wake time.
    await ctx.sleep(input?.sleepMs ?? '1 hour');
    await ctx.step('ship', count);
    return `done by ${process.env['DEPLOYMENT_ID']}`;
  }
}

/** The module's warnings, for the test to read. */
const logger: LoggerService = {
  log: () => undefined,
  warn: (message: string) => say(`WARN ${message}`),
  error: (message: string, ...rest: unknown[]) => say(`ERROR ${message} ${rest.map(String).join(' ')}`),
};

@Module({
  imports: [
    WorkflowModule.forRoot({
      connection: { url: settings.url },
      worker: onePass(settings.worker),
      ...(settings.qstash === undefined ? {} : { transport: settings.transport ?? 'qstash', qstash: settings.qstash }),
      ...(settings.listen === undefined ? {} : { listen: settings.listen }),
      ...(settings.pooler === undefined ? {} : { pooler: settings.pooler }),
    }),
  ],
  providers: [
    AdderWorkflow,
    PoisonWorkflow,
    GatedWorkflow,
    BusyWorkflow,
    WaitingWorkflow,
    DiaryWorkflow,
    TellingWorkflow,
    VersionedWorkflow,
  ],
})
class FaultModule {}

process.on('unhandledRejection', (error) => say(`UNHANDLED ${String(error)}`));

async function listen(): Promise<INestApplicationContext> {
  const app = await NestFactory.create(FaultModule, { rawBody: true, logger, abortOnError: false });
  const server = (await app.listen(0, '127.0.0.1')) as Server;
  say(`listening ${(server.address() as AddressInfo).port}`);
  return app;
}

async function main(): Promise<void> {
  say('booting');
  const app = await (settings.qstash ? listen() : NestFactory.createApplicationContext(FaultModule, { logger, abortOnError: false }));
  if (settings.hooks) app.enableShutdownHooks([], settings.qstash ? { useProcessExit: true } : {});
  if (settings.hooks) process.once('SIGTERM', () => say('received SIGTERM'));
  process.stdin.on('data', (data) => {
    if (!data.toString().includes('close')) return;
    app.close().then(
      async () => {
        await counter.end();
        process.stdin.destroy();
        say('closed');
      },
      (error: unknown) => say(`ERROR close: ${String(error)}`),
    );
  });
  if (settings.starts !== undefined) await startHere(app.get(WorkflowClient), settings.starts);
  say('ready');
}

async function startHere(client: WorkflowClient, id: string): Promise<void> {
  while ((await client.health()).worker.state !== 'running') await sleep(10);
  // By class: a start by name leaves the version to the claim, so it is never eager.
  await client.start(GatedWorkflow, {}, { id });
}

main().catch((error: unknown) => {
  say(`ERROR boot: ${String(error)}`);
  process.exit(1);
});
