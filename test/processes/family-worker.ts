import { setTimeout as sleep } from 'node:timers/promises';

import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import pg from 'pg';

import { currentStep, Workflow, WorkflowModule, type WorkerOptions, type WorkflowContext } from '../../src/index.js';

/** Settings that the test passes to this process. */
interface FamilyWorkerSettings {
  url: string;
  /** The URL of the database that counts bodies. */
  countUrl: string;
  worker?: WorkerOptions;
  /** Variant of the code of the workflow `patched` in this deployment. */
  variant?: 'old' | 'new';
}

const settings = JSON.parse(process.env['FAULT_SETTINGS']!) as FamilyWorkerSettings;
const counter = new pg.Pool({ connectionString: settings.countUrl, max: 4 });
counter.on('error', () => undefined);

async function count(): Promise<void> {
  const { runId, stepKey } = currentStep();
  await counter.query('INSERT INTO bodies (run_id, step_key, pid) VALUES ($1, $2, $3)', [runId, stepKey, process.pid]);
}

@Workflow({ name: 'family-child' })
class FamilyChild {
  async run(n: number, ctx: WorkflowContext): Promise<number> {
    return ctx.step('double', async () => {
      await count();
      await sleep(10);
      return n * 2;
    });
  }
}

@Workflow({ name: 'family' })
class Family {
  async run(input: { children: number; maxInFlight: number }, ctx: WorkflowContext): Promise<number> {
    const inputs = Array.from({ length: input.children }, (_, index) => index);
    const results = await ctx.invokeMany(FamilyChild, inputs, { maxInFlight: input.maxInFlight });
    return results.reduce((sum, result) => sum + result, 0);
  }
}

@Workflow({ name: 'poison-child' })
class PoisonChild {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    await ctx.step('explode', async () => {
      await count();
      process.kill(process.pid, 'SIGKILL');
      await sleep(10_000);
    });
  }
}

@Workflow({ name: 'poisoned' })
class Poisoned {
  async run(_input: void, ctx: WorkflowContext): Promise<string> {
    try {
      await ctx.invoke(PoisonChild);
      return 'survived';
    } catch (error) {
      return `${(error as Error).name}: ${((error as Error).cause as Error).name}`;
    }
  }
}

@Workflow({ name: 'patched' })
class Patched {
  async run(_input: unknown, ctx: WorkflowContext): Promise<string> {
    await ctx.step('reserve', count);
    // Long enough for the test to kill the old worker before the change is reached.
    await ctx.sleep(2_000);
    if (settings.variant === 'new' && ctx.patched('check stock first')) await ctx.step('check', count);
    await ctx.step('ship', count);
    await ctx.sleep(400);
    await ctx.step('bill', count);
    return `billed by ${process.env['DEPLOYMENT_ID']}`;
  }
}

@Module({
  imports: [WorkflowModule.forRoot({ connection: { url: settings.url }, worker: settings.worker ?? {} })],
  providers: [FamilyChild, Family, PoisonChild, Poisoned, Patched],
})
class FamilyModule {}

const say = (line: string): void => void process.stdout.write(`${line}\n`);
process.on('unhandledRejection', (error) => say(`UNHANDLED ${String(error)}`));

async function main(): Promise<void> {
  const app = await NestFactory.createApplicationContext(FamilyModule, { logger: false, abortOnError: false });
  process.stdin.on(
    'data',
    () =>
      void app
        .close()
        .then(() => counter.end())
        .then(() => process.stdin.destroy()),
  );
  say('ready');
}

main().catch((error: unknown) => {
  say(`ERROR boot: ${String(error)}`);
  process.exit(1);
});
