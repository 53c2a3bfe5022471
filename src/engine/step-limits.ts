import { InvalidInputError, StepFailedError } from '../core/errors/index.js';
import type { Call } from './call.js';
import type { PassHandle } from './pass-handle.js';

/** Permission to begin one attempt of a step that has a limit. */
export interface StepPermit {
  /** False once the slot of the rate limit has passed: the attempt needs a new permit. */
  isValid(): boolean;
  /** Gives the place to another step. */
  release(): void;
}

/** Step that waits for a permit. */
export interface LimitedStep {
  readonly runId: string;
  readonly stepKey: string;
  readonly queueKey: string;
  /** True while the step still waits. A step that no longer waits takes no place and no slot. */
  isWaiting(): boolean;
  /** Called once, at the time at which the attempt may begin. */
  permitted(permit: StepPermit): void;
}

/** Limits that steps name. */
export interface StepLimits {
  /** Requests a permit. Returns `unknown` when there is no limit with this name. */
  request(name: string, step: LimitedStep): Promise<'requested' | 'unknown'>;
}

/**
 * Milliseconds between two checks that a step still waits for its permit. Shorter than any
 * `suspendAfter`, so that a run with such a step stays in memory and keeps its place in the line.
 */
const CHECK_EVERY_MS = 40;

/** Calls `go` once the limit of the step permits an attempt. */
export function whenPermitted(pass: PassHandle, call: Call, name: string, go: (permit: StepPermit) => void): void {
  const { limits } = pass.settings;
  let isOver = false;
  const isWaiting = (): boolean => !isOver && !pass.isClosed && call.mayBegin;
  const check = (): void => {
    if (isWaiting()) pass.timers.set(call.stepKey, pass.settings.now() + CHECK_EVERY_MS, check);
  };
  const permitted = (permit: StepPermit): void => {
    if (!isWaiting()) return permit.release();
    isOver = true;
    pass.timers.clear(call.stepKey);
    go(permit);
  };
  const unknown = (): void => {
    if (!isWaiting()) return;
    isOver = true;
    pass.timers.clear(call.stepKey);
    const error = new InvalidInputError('limit', `there is no limit "${name}": name it in the module's option limits`);
    pass.results.settle(call, { error: pass.encodeError(new StepFailedError(call.stepKey, 1, error)), attempts: 1 });
  };
  if (!limits) return go(NO_LIMIT);
  check();
  const step = { runId: pass.run.id, stepKey: call.stepKey, queueKey: pass.run.queueKey ?? '', isWaiting, permitted };
  void limits.request(name, step).then((answer) => answer === 'unknown' && unknown());
}

/** Permit of a process without limits, such as a run in memory. */
const NO_LIMIT: StepPermit = { isValid: () => true, release: () => undefined };
