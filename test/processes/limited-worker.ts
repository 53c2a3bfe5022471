import { setTimeout as sleep } from 'node:timers/promises';

import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import pg from 'pg';

import { currentStep, Workflow, WorkflowModule, type WorkerOptions, type WorkflowContext } from '../../src/index.js';

/** Settings that the test passes to this process. */
interface LimitedWorkerSettings {
  url: string;
  /** The URL of the database that records bodies. */
  countUrl: string;
  worker?: WorkerOptions;
}

const settings = JSON.parse(process.env['FAULT_SETTINGS']!) as LimitedWorkerSettings;
const counter = new pg.Pool({ connectionString: settings.countUrl, max: 8 });
counter.on('error', () => undefined);

/** Work of a body: a pause, or the wait for a row of the run in `gates`. */
interface Work {
  readonly ms?: number;
  readonly gate?: string;
}

async function isOpen(runId: string): Promise<boolean> {
  return (await counter.query('SELECT 1 FROM gates WHERE run_id = $1', [runId])).rows.length > 0;
}

/** Records a body from within: the recorded time is part of the time of the body. */
async function recorded(kind: string, { ms = 30, gate }: Work): Promise<void> {
  const { runId, stepKey } = currentStep();
  const { rows } = await counter.query<{ id: string }>(
    'INSERT INTO spans (kind, run_id, step_key, pid, began) VALUES ($1, $2, $3, $4, clock_timestamp()) RETURNING id',
    [kind, runId, stepKey, process.pid],
  );
  if (gate === undefined) await sleep(ms);
  else while (!(await isOpen(gate))) await sleep(20);
  await counter.query('UPDATE spans SET ended = clock_timestamp() WHERE id = $1', [rows[0]!.id]);
}

@Workflow({ name: 'limited', queue: 'sevens' })
class LimitedWorkflow {
  async run(work: Work | string, ctx: WorkflowContext): Promise<void> {
    await ctx.step('body', () => recorded('run', typeof work === 'string' ? {} : work));
  }
}

@Workflow({ name: 'calling' })
class CallingWorkflow {
  async run(_input: unknown, ctx: WorkflowContext): Promise<void> {
    await ctx.step('call', { limit: 'three' }, () => recorded('step', {}));
  }
}

@Module({
  imports: [
    WorkflowModule.forRoot({
      connection: { url: settings.url },
      queues: { sevens: { concurrency: 7 } },
      limits: { three: { concurrency: 3 } },
      worker: settings.worker ?? {},
    }),
  ],
  providers: [LimitedWorkflow, CallingWorkflow],
})
class LimitedModule {}

const say = (line: string): void => void process.stdout.write(`${line}\n`);
process.on('unhandledRejection', (error) => say(`UNHANDLED ${String(error)}`));

async function main(): Promise<void> {
  const app = await NestFactory.createApplicationContext(LimitedModule, { logger: false, abortOnError: false });
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
