import { defineSignal, Step, Workflow, WorkflowClient, type WorkflowContext } from '../../src/index.js';
import type { TestingModule } from '@nestjs/testing';
import type { DataSource } from 'typeorm';

import { seconds, waitFor } from './wait.js';

const go = defineSignal<{ amount: number }>('go');

@Workflow({ name: 'exercise-chain' })
class ChainWorkflow {
  async run(left: number, ctx: WorkflowContext): Promise<string> {
    return left === 0 ? 'end of the chain' : ctx.continueAsNew(ChainWorkflow, left - 1);
  }
}

@Workflow({ name: 'exercise-steps' })
class StepsWorkflow {
  private static failed = new Set<string>();

  async run(amount: number, ctx: WorkflowContext): Promise<unknown> {
    const first = await this.flaky(ctx.runId, amount);
    await ctx.sleep(50);
    return [first, await this.last(first + 1)];
  }

  @Step({ retry: { maxAttempts: 3, initialInterval: 10 } })
  async flaky(runId: string, amount: number): Promise<number> {
    if (StepsWorkflow.failed.has(runId)) return amount * 2;
    StepsWorkflow.failed.add(runId);
    throw new Error('the first attempt fails');
  }

  @Step()
  async last(amount: number): Promise<{ amount: number; at: Date }> {
    return { amount, at: new Date(0) };
  }
}

@Workflow({ name: 'exercise-waits' })
class WaitsWorkflow {
  async run(token: string, ctx: WorkflowContext): Promise<unknown> {
    const hook = await ctx.hook<{ x: number }>({ token });
    ctx.setState('isReady', true);
    const signal = await ctx.waitForSignal(go);
    return [signal.amount, await hook.wait()];
  }
}

@Workflow({ name: 'exercise-fails', retry: { maxAttempts: 1 } })
class FailsWorkflow {
  async run(): Promise<void> {
    throw Object.assign(new Error('refused'), { code: 'CARD' });
  }
}

/** Workflows that `exercise` runs. */
export const EXERCISE_WORKFLOWS = [ChainWorkflow, StepsWorkflow, WaitsWorkflow, FailsWorkflow];

let runs = 0;

/**
 * Exercises a little of everything in an application with EXERCISE_WORKFLOWS and a worker. Returns
 * answers that are the same in every application.
 * @param dataSource the application's own, for calls in its transactions; undefined to leave those
 * out
 */
export async function exercise(module: TestingModule, dataSource: DataSource | undefined): Promise<Record<string, unknown>> {
  const client = module.get(WorkflowClient);
  const timeout = { timeout: seconds(30) };
  const answers: Record<string, unknown> = {};
  const tag = `x${process.pid}-${++runs}`;

  const chain = await client.start(ChainWorkflow, 3);
  const delayed = await client.start(StepsWorkflow, 5, { delay: 100, tags: { exercise: tag } });
  const waiting = await client.start(WaitsWorkflow, `token-of-the-exercise-${tag}`, { tags: { exercise: tag } });
  const failing = await client.start(FailsWorkflow, undefined, { tags: { exercise: tag } });
  answers['chain'] = await chain.result(timeout);
  answers['delayed'] = await delayed.result(timeout);
  answers['failed'] = await failing.result(timeout).catch((error: Error) => [error.name, (error.cause as Error).message]);

  await waitFor(async () => (await client.describe(waiting.runId)).state['isReady'], { message: 'the hook to be there' });
  await client.signal(waiting.runId, go, { amount: 7 });
  await client.resumeHook(`token-of-the-exercise-${tag}`, { x: 1 });
  answers['waiting'] = await waiting.result(timeout);

  if (dataSource) Object.assign(answers, await exerciseTransactions(client, dataSource));

  const { runs: listed } = await client.list({ tags: { exercise: tag } });
  answers['listed'] = listed.map(({ name, status, createdAt }) => [name, status, isTime(createdAt)].join(' ')).sort();
  answers['counted'] = await client.count({ tags: { exercise: tag } });
  const page = await client.history(delayed.runId, { limit: 2 });
  answers['history'] = page.entries.map(({ kind, at }) => [kind, isTime(at)]);
  const rest = await client.history(delayed.runId, { limit: 50, cursor: page.cursor! });
  answers['older'] = rest.entries.map(({ kind, attempt }) => [kind, attempt]);
  const described = await client.describe(delayed.runId);
  answers['described'] = [isTime(described.createdAt), isTime(described.finishedAt), described.epoch > 0, described.blockedDeployments];
  const failures = await client.failures({ since: '1 hour', groupBy: 'errorCode' });
  answers['failures'] = failures.map(({ errorCode, count, firstAt }) => [errorCode, typeof count, isTime(firstAt)]);
  const { sessions, database } = await client.health();
  answers['health'] = [database.isReachable, sessions.map(({ isExpired, startedAt }) => [isExpired, isTime(startedAt)]).slice(0, 1)];
  answers['metrics'] = /^nestjs_durable_database_up 1$/m.test(await client.metrics());
  return JSON.parse(JSON.stringify(answers)) as Record<string, unknown>;
}

async function exerciseTransactions(client: WorkflowClient, dataSource: DataSource): Promise<Record<string, unknown>> {
  const id = `in-transaction-${process.pid}-${++runs}`;
  const handles = await dataSource.transaction(async (manager) => [
    await client.start(ChainWorkflow, 0, { id, manager }),
    await client.start(ChainWorkflow, 0, { id, manager, onConflict: 'return' }),
    await client.start(WaitsWorkflow, `token-${id}`, { id: `${id}-waits`, manager }),
  ]);
  const result = await handles[0]!.result({ timeout: seconds(30) });
  await waitFor(async () => (await client.describe(`${id}-waits`)).state['isReady'], { message: 'the hook to be there' });
  await dataSource.transaction((manager) => client.signal(`${id}-waits`, go, { amount: 9 }, { manager, idempotencyKey: 'once' }));
  await dataSource.transaction((manager) => client.cancel(`${id}-waits`, { manager }));
  const status = await waitFor(async () => {
    const found = (await client.describe(`${id}-waits`)).status;
    return found === 'cancelled' && found;
  });
  return { startedInTransaction: result, cancelledInTransaction: status };
}

function isTime(value: unknown): boolean {
  return value instanceof Date && Math.abs(value.getTime() - Date.now()) < 600_000;
}
