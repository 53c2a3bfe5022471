import { InvalidInputError, StepFailedError } from '../core/errors/index.js';
import type { Call } from './call.js';
import type { PassHandle } from './pass-handle.js';
import type { StepPermit } from './step-limits-port.js';

/** Calls `go` once the limit of the step permits an attempt. */
export function whenPermitted(pass: PassHandle, call: Call, name: string, go: (permit: StepPermit) => void): void {
  const { limits } = pass.settings;
  let isOver = false;
  const isWaiting = (): boolean => !isOver && !pass.isClosed && call.mayBegin;
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
  // The run stays in memory: another pass would ask for a permit of its own, behind all others.
  pass.timers.hold(call.stepKey);
  const step = { runId: pass.run.id, stepKey: call.stepKey, queueKey: pass.run.queueKey ?? '', isWaiting, permitted };
  void limits.request(name, step).then((answer) => answer === 'unknown' && unknown());
}

/** Permit of a process without limits, such as a run in memory. */
const NO_LIMIT: StepPermit = { isValid: () => true, release: () => undefined };
