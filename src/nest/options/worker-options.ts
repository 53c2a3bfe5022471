import { checkOptions } from '../../core/check-options.js';
import { toMilliseconds } from '../../core/duration.js';
import { InvalidInputError } from '../../core/errors/index.js';
import { checkText } from '../../core/ids.js';
import { MAX_TIMER_MS } from '../../core/timers.js';
import { checkBoolean } from './check-boolean.js';
import type { ModuleSettings, WorkerOptions, WorkerSettings, WorkflowModuleOptions } from './module-options.js';

const KNOWN_WORKER_OPTIONS = [
  'queues',
  'concurrency',
  'pollInterval',
  'maxPollInterval',
  'sessionTtl',
  'suspendAfter',
  'shutdownTimeout',
  'eagerStart',
  'verifyReplay',
  'onMismatch',
];

/** Returns when the process begins to execute runs. `DURABLE_WORKER` overrides the option. */
export function workerStart(worker: WorkflowModuleOptions['worker'], environment: NodeJS.ProcessEnv): ModuleSettings['workerStart'] {
  const override = environment['DURABLE_WORKER'];
  if (override !== undefined && override !== '' && override !== 'on' && override !== 'off') {
    throw new InvalidInputError('DURABLE_WORKER', `must be 'on' or 'off', not ${JSON.stringify(override)}`);
  }
  if (override === 'off' || worker === false) return 'never';
  return worker === undefined ? 'listening' : 'boot';
}

/**
 * Checks the option `worker`, and applies the defaults.
 *
 * @throws InvalidInputError naming the option that is invalid
 */
export function toWorkerSettings(worker: WorkerOptions, transport: ModuleSettings['transport']): WorkerSettings {
  if ((worker as unknown) === true)
    throw new InvalidInputError('worker', 'must be false or an object: {} executes runs with the default settings');
  const given = checkOptions(worker, 'worker', KNOWN_WORKER_OPTIONS);
  const { concurrency = 50, eagerStart, verifyReplay = 'auto', onMismatch = 'auto' } = given;
  const queues = checkQueues(given.queues);
  if (!Number.isInteger(concurrency) || concurrency < 1 || concurrency > 10_000) {
    throw new InvalidInputError('worker.concurrency', 'must be a whole number from 1 to 10,000');
  }
  checkBoolean(eagerStart, 'worker.eagerStart');
  if (!['auto', 'always', 'never'].includes(verifyReplay)) {
    throw new InvalidInputError('worker.verifyReplay', "must be 'auto', 'always' or 'never'");
  }
  if (!['auto', 'block', 'fail'].includes(onMismatch))
    throw new InvalidInputError('worker.onMismatch', "must be 'auto', 'block' or 'fail'");
  const durationOption = (
    option: Exclude<keyof WorkerOptions, 'queues' | 'concurrency' | 'eagerStart' | 'verifyReplay' | 'onMismatch'>,
    defaultMs: number,
    minMs: number,
  ): number => {
    const value = given[option];
    const ms = value === undefined ? defaultMs : toMilliseconds(value, `worker.${option}`);
    if (ms < minMs || ms > MAX_TIMER_MS)
      throw new InvalidInputError(`worker.${option}`, `must be from ${minMs} ms to ${MAX_TIMER_MS} ms, not ${ms} ms`);
    return ms;
  };
  const pollIntervalMs = durationOption('pollInterval', 100, 1);
  return {
    queues,
    concurrency,
    pollIntervalMs,
    maxPollIntervalMs: Math.max(pollIntervalMs, durationOption('maxPollInterval', 1_000, 1)),
    sessionTtlMs: durationOption('sessionTtl', 30_000, 2_000),
    suspendAfterMs: durationOption('suspendAfter', transport === 'qstash' ? QSTASH_SUSPEND_AFTER_MS : 1_000, 0),
    shutdownTimeoutMs: durationOption('shutdownTimeout', 20_000, 0),
    eagerStart: eagerStart ?? true,
    verifyReplay,
    onMismatch,
  };
}

/**
 * Default of `worker.suspendAfter` with `transport: 'qstash'`, in milliseconds. The time is short,
 * because a platform also bills the time in which a request only waits.
 */
const QSTASH_SUSPEND_AFTER_MS = 100;

function checkQueues(queues: unknown): readonly string[] | undefined {
  if (queues === undefined) return undefined;
  let names: unknown[];
  try {
    names = Array.isArray(queues) ? [...(queues as unknown[])] : [];
  } catch (cause) {
    throw new InvalidInputError('worker.queues', 'cannot be read', { cause });
  }
  if (names.length === 0) throw new InvalidInputError('worker.queues', 'must be an array of at least one name');
  return names.map((queue, index) => checkText(queue, `worker.queues[${index}]`));
}
