import { Injectable } from '@nestjs/common';

import type { KnownWorker, WorkerHealth, WorkflowHealth } from '../../client/queries/health.js';
import { checkText } from '../../core/ids.js';
import { checkThresholds, type CheckedThresholds, type HealthThresholds } from './thresholds.js';

/** Result of a health check, in the form that @nestjs/terminus expects from an indicator. */
export type DurableHealthResult<Key extends string = string> = Record<
  Key,
  {
    status: 'up' | 'down';
    /** State of this process's worker, as in `client.health()`. */
    worker: WorkerHealth['state'];
    /** Reasons why the status is `down`; absent when the status is `up`. */
    reasons?: string[];
    /** Milliseconds that the database took to answer; absent when it did not answer. */
    databaseLatencyMs?: number;
    /** Milliseconds for which the oldest due run has waited; absent when no run is due. */
    oldestDueAgeMs?: number;
    /** Number of due runs that no living process executes. */
    unregistered?: number;
  }
>;

/** Parts of a module that the indicator examines. */
interface ExaminedModule {
  readonly client: { health(): Promise<WorkflowHealth> };
  readonly workers: { readonly known: KnownWorker; readonly isExpected: boolean };
  readonly clock: { now(): number };
}

/**
 * Health indicator of the module for @nestjs/terminus 11 and 12. The results contain no text of the
 * database's errors, because health endpoints are often public.
 *
 * @example
 * @Get('ready')
 * @HealthCheck()
 * ready() {
 *   return this.health.check([() => this.durable.isHealthy('workflows', { maxUnregistered: 0 })]);
 * }
 */
@Injectable()
export class DurableHealthIndicator {
  readonly #module: ExaminedModule;

  /** @internal */
  constructor(module: ExaminedModule) {
    this.#module = module;
  }

  /**
   * Examines whether this process is ready: the database answers, and the worker claims runs.
   * Further conditions have no limit unless a threshold is given. Answers within about five
   * seconds, also when the database does not.
   *
   * @param key name of the result
   * @param thresholds conditions under which the process is ready (default: see each threshold)
   * @returns `{ [key]: { status: 'up' | 'down', ... } }`. Never rejects because of a failing
   *   database
   * @throws InvalidInputError when an argument is invalid
   * @example
   * await indicator.isHealthy('workflows', { maxOldestDueAge: '1 minute' });
   */
  async isHealthy<const Key extends string>(key: Key, thresholds: HealthThresholds = {}): Promise<DurableHealthResult<Key>> {
    checkText(key, 'key');
    const limits = checkThresholds(thresholds);
    const health = await this.#module.client.health();
    const { isReachable } = health.database;
    const oldestDueAgeMs = health.oldestDueAt && Math.max(0, Math.round(this.#module.clock.now() - health.oldestDueAt.getTime()));
    const unregistered = health.unregistered.reduce((sum, { due }) => sum + due, 0);
    const reasons = this.#reasons(health, limits, oldestDueAgeMs ?? 0, unregistered);
    return resultOf(key, {
      status: reasons.length > 0 ? 'down' : 'up',
      worker: health.worker.state,
      ...(reasons.length > 0 ? { reasons } : {}),
      ...(health.database.isReachable ? { databaseLatencyMs: Math.round(health.database.latencyMs) } : {}),
      ...(oldestDueAgeMs === undefined ? {} : { oldestDueAgeMs }),
      ...(isReachable ? { unregistered } : {}),
    });
  }

  /**
   * Reports that this process is alive, for a liveness probe. Never asks the database: a restart of
   * the process would not bring the database back. A process whose event loop is blocked does not
   * answer, and so fails the probe.
   *
   * @param key name of the result
   * @returns `{ [key]: { status: 'up', worker } }`
   * @throws InvalidInputError when the key is invalid
   * @example
   * this.health.check([() => this.durable.isAlive('workflows')]);
   */
  isAlive<const Key extends string>(key: Key): DurableHealthResult<Key> {
    checkText(key, 'key');
    return resultOf(key, { status: 'up', worker: this.#module.workers.known.health.state });
  }

  #reasons({ database, worker }: WorkflowHealth, limits: CheckedThresholds, oldestDueAgeMs: number, unregistered: number): string[] {
    const reasons: string[] = [];
    if (limits.worker === 'running' && this.#module.workers.isExpected && worker.state !== 'running')
      reasons.push(`the worker is ${worker.state}`);
    if (!database.isReachable) return ['the database does not answer', ...reasons];
    if (database.latencyMs > limits.maxDatabaseLatencyMs) reasons.push(`the database took ${Math.round(database.latencyMs)} ms to answer`);
    if (oldestDueAgeMs > limits.maxOldestDueAgeMs) reasons.push(`a run has been due for ${oldestDueAgeMs} ms`);
    if (unregistered > limits.maxUnregistered) reasons.push(`no living process executes ${unregistered} due runs`);
    return reasons;
  }
}

function resultOf<Key extends string>(key: Key, result: DurableHealthResult[string]): DurableHealthResult<Key> {
  return { [key]: result } as DurableHealthResult<Key>;
}
