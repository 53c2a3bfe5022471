import { DataSource, type Repository } from 'typeorm';
import type { TestingModule } from '@nestjs/testing';

import { getWorkflowRepositoryToken, WorkflowClient, WorkflowRun } from '../../src/index.js';
import { waitFor } from '../support/wait.js';
import {
  CountsWorkflow,
  failing,
  FailsWorkflow,
  go,
  HARD_TEXT,
  TAG,
  hardValue,
  ParentWorkflow,
  StepsWorkflow,
  TicksWorkflow,
  WaitsWorkflow,
} from './workflows.js';

const TIMEOUT = { timeout: '40s' } as const;
const HOUR = 3_600_000;

/** Answers of a part of the API, in a form that is the same each time. */
export type Answers = Record<string, unknown>;

/** Replaces a time with whether it is recent, because times differ between exercises. */
function time(value: unknown): string {
  const isNear = value instanceof Date && Math.abs(value.getTime() - Date.now()) < HOUR / 2;
  return isNear ? 'now' : `not now: ${String(value)}`;
}

const messageOf = (error: unknown): string => `${(error as Error).name}: ${(error as Error).message}`;

/** One exercise of the whole API, for an application that has the workflows beside this file. */
export class Scenario {
  private readonly client: WorkflowClient;
  private readonly since = new Date(Date.now() - 60_000);

  constructor(private readonly module: TestingModule) {
    this.client = module.get(WorkflowClient);
  }

  /** Exercises the parts that count runs one after another, and the others concurrently. */
  async play(): Promise<Answers> {
    const parts = ['values', 'waits', 'children', 'chains', 'delays', 'retries', 'control', 'transactions'] as const;
    const pairs = await Promise.all(parts.map(async (part) => [part, await this.answer(this[part])] as const));
    const after = ['bulk', 'listing', 'history', 'repository', 'health'] as const;
    for (const part of after) pairs.push([part, await this.answer(this[part])] as never);
    return Object.fromEntries(pairs);
  }

  private async answer(part: () => Promise<unknown>): Promise<unknown> {
    try {
      return await part.call(this);
    } catch (error) {
      return messageOf(error);
    }
  }

  private async values(): Promise<unknown> {
    const handles = await this.client.startMany(
      StepsWorkflow,
      Array.from({ length: 10 }, (_, n) => ({ n })),
    );
    const results = (await Promise.all(handles.map((handle) => handle.result(TIMEOUT)))) as { n: number }[];
    return [await this.client.execute(StepsWorkflow, hardValue(), { id: 'values', tags: { kind: TAG } }), results.map(({ n }) => n)];
  }

  private async waits(): Promise<unknown> {
    const token = 'token-of-the-exercise';
    const handle = await this.client.start(WaitsWorkflow, token, { id: 'waits' });
    await waitFor(() => this.client.resumeHook(token, { by: HARD_TEXT }).then(() => true), { message: 'the hook', timeoutMs: 30_000 });
    await this.client.signal('waits', go, { text: HARD_TEXT }, { idempotencyKey: 'once' });
    await this.client.signal('waits', go, { text: 'twice' }, { idempotencyKey: 'once' });
    return handle.result(TIMEOUT);
  }

  private async children(): Promise<unknown> {
    const handle = await this.client.start(ParentWorkflow, 4, { id: 'parent' });
    const output = await handle.result(TIMEOUT);
    const { state, children } = await handle.describe();
    return { output, state, children: children.length };
  }

  private async chains(): Promise<unknown> {
    return (await this.client.start(CountsWorkflow, 3, { id: 'chain' })).result(TIMEOUT);
  }

  private async delays(): Promise<unknown> {
    const startAt = new Date(Date.now() + 400);
    const delayed = await this.client.start(StepsWorkflow, { n: 1 }, { startAt, id: 'delayed' });
    const { createdAt } = await delayed.describe();
    await delayed.result(TIMEOUT);
    return { created: time(createdAt), isEarly: Date.now() < startAt.getTime() - 50 };
  }

  private async retries(): Promise<unknown> {
    failing.add('failed');
    const handle = await this.client.start(FailsWorkflow, undefined, { id: 'failed' });
    const error = await handle.result(TIMEOUT).catch(messageOf);
    failing.delete('failed');
    const fork = await this.client.fork('failed', { actor: 'matrix' });
    const forked = await fork.result(TIMEOUT);
    await this.client.resolveStep('failed', 'charge', { output: 'by hand' }, { reason: 'matrix' });
    return { error, forked, resolved: await handle.result(TIMEOUT) };
  }

  private async control(): Promise<unknown> {
    const paused = await this.client.start(TicksWorkflow, 5, { id: 'paused' });
    await this.client.pause('paused');
    await waitFor(async () => (await paused.status()) === 'paused', { message: 'the pause', timeoutMs: 30_000 });
    await this.client.resume('paused');
    const cancelled = await this.client.start(TicksWorkflow, 10_000, { id: 'cancelled' });
    await this.client.cancel('cancelled', { reason: 'matrix' });
    const error = await cancelled.result(TIMEOUT).catch(messageOf);
    return { ticks: await paused.result(TIMEOUT), error, status: await cancelled.status() };
  }

  private async transactions(): Promise<unknown> {
    const dataSource = this.module.get(DataSource);
    const start = (id: string, fails: string) =>
      dataSource.transaction(async (manager) => {
        const handle = await this.client.start(StepsWorkflow, { id }, { id, manager });
        if (fails) throw new Error(fails);
        return handle;
      });
    const committed = await start('committed', '');
    const rolledBack = await start('rolled-back', 'taken back').catch(messageOf);
    return { committed: await committed.result(TIMEOUT), rolledBack, status: await this.client.status('rolled-back').catch(messageOf) };
  }

  private async bulk(): Promise<unknown> {
    await this.client.startMany(StepsWorkflow, [{ n: 1 }, { n: 2 }, { n: 3 }], { delay: '1h' });
    const filter = { name: 'steps', status: 'waiting', createdAfter: this.since } as const;
    const { token, count } = await this.client.bulk.cancel({ filter, dryRun: true });
    await this.client.bulk.cancel({ token });
    await waitFor(async () => (await this.client.bulk.status(token)).state === 'completed', { message: 'the bulk', timeoutMs: 30_000 });
    return { count, waiting: await this.client.count(filter) };
  }

  private async listing(): Promise<unknown> {
    const seen: { runId: string; createdAt: Date }[] = [];
    for (let cursor: string | undefined; ;) {
      const page = await this.client.list({ limit: 7, ...(cursor === undefined ? {} : { cursor }) });
      seen.push(...page.runs);
      cursor = page.cursor;
      if (cursor === undefined) break;
    }
    const isOrdered = seen.every(({ createdAt }, index) => index === 0 || createdAt <= seen[index - 1]!.createdAt);
    const failures = await this.client.failures({ since: '1h', groupBy: ['workflow', 'errorCode', 'failedStep'] });
    return {
      isOrdered,
      times: [...new Set(seen.map(({ createdAt }) => time(createdAt)))],
      runs: seen.length,
      distinct: new Set(seen.map(({ runId }) => runId)).size,
      counted: await this.client.count({ createdAfter: this.since }),
      later: await this.client.count({ createdAfter: new Date(Date.now() + HOUR) }),
      tagged: await this.client.count({ tags: { kind: TAG } }),
      failures: failures.map(({ count, workflow, errorCode, failedStep }) => ({ count, workflow, errorCode, failedStep })),
    };
  }

  private async history(): Promise<unknown> {
    const kinds: string[] = [];
    for (let cursor: string | undefined; ;) {
      const page = await this.client.history('failed', { limit: 3, ...(cursor === undefined ? {} : { cursor }) });
      kinds.push(...page.entries.map(({ kind, at }) => `${kind} ${time(at)}`));
      cursor = page.cursor;
      if (cursor === undefined) return kinds.sort();
    }
  }

  private async repository(): Promise<unknown> {
    const runs = this.module.get<Repository<WorkflowRun>>(getWorkflowRepositoryToken(WorkflowRun), { strict: false });
    const { status, name } = await runs.findOneByOrFail({ id: 'failed' });
    const recent = await runs.createQueryBuilder('run').where('run.createdAt > :since', { since: this.since }).getCount();
    return { status, name, isRecent: recent > 20 };
  }

  private async health(): Promise<unknown> {
    const { database, worker, sessions } = await this.client.health();
    return { isReachable: database.isReachable, state: worker.state, runs: worker.runs, sessions: sessions.length };
  }
}
