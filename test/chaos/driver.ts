import 'reflect-metadata';
import { setTimeout as sleep } from 'node:timers/promises';

import { Module, type INestApplicationContext } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  RunEndedError,
  RunNotFoundError,
  WorkflowClient,
  WorkflowModule,
  type StartOptions,
  type WorkflowModuleOptions,
} from 'nestjs-durable';
import { DataSource } from 'typeorm';

import { StreamFollower } from '../support/faults/stream-follower.js';
import { queueOf } from './limits.js';
import type { PlannedRun } from './plan.js';
import { EXPECTED, poke, type CallInput } from './shapes.js';
import type { StartRequest } from './worker-messages.js';

/** Processes that can be asked to start runs. */
export interface Starters {
  readonly size: number;
  /** The one of that place, or another; undefined when none is up. */
  pick(index: number): { startRun(request: Omit<StartRequest, 'kind'>): Promise<string | undefined> } | undefined;
}

@Module({})
class DriverModule {}

/** Milliseconds for which a result is awaited: more than any fault delays a run. */
const RESULT_MS = 1_800_000;
const AGAIN_MS = 100;

/** Numbers of events after which readers of streams disconnect and connect again. */
const PATIENCES = [Infinity, 7];

/** Chunks that a reader of a stream has received. */
export interface StreamReading {
  readonly run: PlannedRun;
  readonly values: readonly unknown[];
  readonly problems: readonly string[];
}

/** A start with `debounce` or `throttle`, or of a member of a batch. */
export interface SharedStart {
  readonly name: string;
  readonly input: CallInput;
  readonly by: 'client' | 'worker' | 'commit' | 'rollback';
  readonly worker: number;
  readonly options: Omit<StartOptions, 'manager'>;
}

/** On purpose. */
class Rollback extends Error {}

/**
 * Starts and cancels runs as planned, through a client without a worker and through the workers
 * themselves.
 */
export class Driver {
  /** Observed violations. */
  readonly problems: string[] = [];
  /** Results that somebody waits for. */
  readonly results: Promise<void>[] = [];
  /** Readers of streams, each until its stream ends. */
  readonly readers: Promise<StreamReading>[] = [];
  private readonly client: WorkflowClient;
  private over = false;
  private asked = 0;

  private constructor(
    private readonly app: INestApplicationContext,
    private readonly dataSource: DataSource,
    private readonly starters: () => Starters,
  ) {
    this.client = app.get(WorkflowClient);
  }

  /** @param options of its module, which executes nothing */
  static async start(url: string, starters: () => Starters, options: Omit<WorkflowModuleOptions, 'worker'> = {}): Promise<Driver> {
    const module = { module: DriverModule, imports: [WorkflowModule.forRoot({ ...options, connection: { url }, worker: false })] };
    const app = await NestFactory.createApplicationContext(module, { logger: ['error'], abortOnError: false });
    const dataSource = new DataSource({ type: 'postgres', url, applicationName: 'chaos', poolSize: 20 });
    await dataSource.initialize();
    return new Driver(app, dataSource, starters);
  }

  /** Resolves when the run has been started, for certain. */
  async startRun(run: PlannedRun): Promise<void> {
    await this.persist(`start ${run.id}`, () => this.startOnce(run));
    if (run.isAwaited) this.results.push(this.awaitResult(run));
    if (run.shape === 'told' && run.start !== 'rollback') for (const patience of PATIENCES) this.readers.push(this.read(run, patience));
  }

  /**
   * Makes a start that may share its run with others. Returns the id of the run that counts;
   * undefined when the start was rolled back.
   */
  async startShared(start: SharedStart): Promise<string | undefined> {
    let runId: string | undefined;
    await this.persist(`start ${start.name} ${start.input.key} ${start.input.n}`, async () => {
      runId = await this.startSharedOnce(start);
    });
    return runId;
  }

  /** Resolves when the start of a transaction has been decided. */
  async decided(runId: string | undefined): Promise<void> {
    for (; !this.over; await sleep(AGAIN_MS)) {
      const rows = await this.dataSource
        .query<unknown[]>('SELECT 1 FROM durable.workflow_start_requests WHERE run_id = $1', [runId])
        .catch(() => [1]);
      if (rows.length === 0) return;
    }
  }

  /** Sends the n-th signal; sent again after trouble, it counts once. */
  async signal(run: PlannedRun, n: number): Promise<void> {
    if (run.start === 'rollback') return;
    await this.persist(`signal ${n} to ${run.id}`, async () => {
      try {
        await this.client.signal(run.id, poke, n, { idempotencyKey: String(n) });
      } catch (error) {
        // The answer to an earlier try was lost, and the run received all signals. A missing signal
        // would show in the run's result.
        if (!(error instanceof RunEndedError)) throw error;
      }
    });
  }

  /** Reads the stream of a run that has ended, from the beginning. */
  async readAgain(run: PlannedRun): Promise<StreamReading> {
    return this.read(run, Infinity);
  }

  async cancel(run: PlannedRun): Promise<void> {
    if (run.start === 'rollback') return;
    await this.persist(`cancel ${run.id}`, () => this.client.cancel(run.id, { reason: 'chaos' }));
  }

  async close(): Promise<void> {
    this.over = true;
    await this.app.close();
    await this.dataSource.destroy();
  }

  private async read(run: PlannedRun, patience: number): Promise<StreamReading> {
    const follower = new StreamFollower();
    const values = await follower.follow(this.client.getHandle(run.id), 'story', patience, () => this.over);
    return { run, values, problems: follower.problems };
  }

  private async startSharedOnce({ name, input, by, worker, options }: SharedStart): Promise<string | undefined> {
    if (by === 'worker') {
      const id = options.id ?? `${input.key} ${input.n} ${this.asked++}`;
      const runId = await this.starters().pick(worker)?.startRun({ id, name, input, options });
      if (runId === undefined) throw new Error('no connection to a worker');
      return runId;
    }
    if (by === 'client') return (await this.client.start(name, input, options)).runId;
    return this.dataSource
      .transaction(async (manager) => {
        const { runId } = await this.client.start(name, input, { ...options, manager });
        if (by === 'rollback') throw new Rollback();
        return runId;
      })
      .catch((error: unknown) => {
        if (error instanceof Rollback) return undefined;
        throw error;
      });
  }

  private async startOnce(run: PlannedRun): Promise<void> {
    const { id, shape, input, delayMs } = run;
    const options: Omit<StartOptions, 'manager'> = {
      id,
      tags: { shape },
      ...queueOf(shape, input),
      ...(delayMs === 0 ? {} : { delay: delayMs }),
    };
    const here = (): Promise<unknown> => this.client.start(shape, input, options);
    const there = async (index: number): Promise<boolean> =>
      (await this.starters().pick(index)?.startRun({ id, name: shape, input, options })) !== undefined;
    switch (run.start) {
      case 'client':
        await here();
        break;
      case 'worker':
        // Whether it was started there is not always known: starting it again does no harm.
        if (!(await there(run.worker))) await here();
        break;
      case 'twice':
        await Promise.all([here(), there(run.worker), there((run.worker + 1) % this.starters().size)]);
        break;
      case 'commit':
      case 'rollback':
        await this.dataSource
          .transaction(async (manager) => {
            await this.client.start(shape, input, { ...options, manager });
            await sleep(run.holdMs);
            if (run.start === 'rollback') throw new Rollback();
          })
          .catch((error: unknown) => {
            if (!(error instanceof Rollback)) throw error;
          });
    }
  }

  /** Repeats work that fails because of a fault, for as long as the chaos lasts. */
  private async persist(what: string, work: () => Promise<unknown>): Promise<void> {
    for (; !this.over; await sleep(AGAIN_MS)) {
      try {
        await work();
        return;
      } catch (error) {
        if (isTrouble(error)) continue;
        this.problems.push(`${what}: ${String(error)}`);
        return;
      }
    }
  }

  private async awaitResult({ id, shape, input }: PlannedRun): Promise<void> {
    try {
      await this.client.getHandle(id).result({ timeout: RESULT_MS });
      if (EXPECTED[shape](input).status !== 'completed') this.problems.push(`${id}: result() resolved`);
    } catch (error) {
      const { name } = error as Error;
      const errors = { completed: undefined, failed: 'WorkflowFailedError', cancelled: 'WorkflowCancelledError' };
      const isRight = name === errors[EXPECTED[shape](input).status];
      if (!isRight) this.problems.push(`${id}: result() rejected with ${String(error)}`);
    }
  }
}

/** A connection that was cut, or a run that is not there yet. */
function isTrouble(error: unknown): boolean {
  if (error instanceof RunNotFoundError) return true;
  const { code, message } = error as { code?: unknown; message?: string };
  return (typeof code === 'string' && /^(57P0|08|ECONN|EPIPE|DATABASE|55P03)/.test(code)) || /[Cc]onnection|timeout/.test(message ?? '');
}
