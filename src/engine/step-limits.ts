import { InvalidInputError, StepFailedError } from '../core/errors/index.js';
import type { Call } from './call.js';
import type { PassHandle } from './pass-handle.js';
import type { StepPermit } from './step-limits-port.js';

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
