import type { Kit } from '../kit.js';
import type { NewWorldEvent } from '../contract.js';
import type { Line } from '../line.js';

/** State of a run, and of its step, hook and wait with one correlation id. */
export interface State {
  readonly run: string | null;
  readonly specVersion: number | null;
  readonly step: string | null;
  /** Seconds until the step may be tried again. */
  readonly retryInSeconds: number | null;
  readonly hasHook: boolean;
  readonly hasLiveHook: boolean;
  readonly wait: string | null;
}

export type StateRow = [string | null, number | null, string | null, number | null, boolean, boolean, string | null];

export function stateOf([run, specVersion, step, retryInSeconds, hasHook, hasLiveHook, wait]: StateRow): State {
  return { run, specVersion, step, retryInSeconds, hasHook, hasLiveHook, wait };
}

const hasEnded = (status: string | null): boolean => status === 'completed' || status === 'failed' || status === 'cancelled';

/** Decides which error tells the runtime why an event was refused. */
export class Refusals {
  constructor(
    private readonly kit: Kit,
    private readonly line: Line,
  ) {}

  /**
   * Error for an event; undefined when the state has changed meanwhile, and another try may
   * succeed.
   */
  of(runId: string, event: NewWorldEvent, state: State): Error | undefined {
    const { errors } = this.kit;
    if (state.run === null) return new errors.WorkflowRunNotFoundError(runId);
    if (state.specVersion !== null && state.specVersion > this.line.maxSpecVersion)
      return new errors.RunNotSupportedError(state.specVersion, this.line.maxSpecVersion);
    const kind = event.eventType.split('_')[0];
    if (kind === 'run') return this.ofRun(runId, event, state);
    if (kind === 'step') return this.ofStep(runId, event, state);
    if (kind === 'hook') return this.ofHook(runId, event, state);
    if (kind === 'wait') return this.ofWait(runId, event, state);
    return hasEnded(state.run) ? this.conflict(`run ${runId} has ended (${state.run})`) : undefined;
  }

  private ofRun(runId: string, { eventType }: NewWorldEvent, { run }: State): Error | undefined {
    if (eventType === 'run_created') return this.conflict(`run ${runId} exists already`);
    if (!hasEnded(run)) return undefined;
    return eventType === 'run_started' ? this.expired(runId, run) : this.conflict(`run ${runId} has ended already (${run})`);
  }

  private ofStep(runId: string, { eventType, correlationId, eventData }: NewWorldEvent, state: State): Error | undefined {
    const name = `step ${correlationId} of run ${runId}`;
    const creates = eventType === 'step_created' || (eventType === 'step_started' && eventData?.['input'] !== undefined);
    if (creates) {
      if (state.step !== null) return this.conflict(`${name} exists already`);
      return hasEnded(state.run) ? this.conflict(`run ${runId} has ended (${state.run})`) : undefined;
    }
    if (state.step === null) return new this.kit.errors.WorkflowWorldError(`${name} does not exist`, { status: 404 });
    if (hasEnded(state.step)) return this.conflict(`${name} has ended already (${state.step})`);
    if (eventType === 'step_started' && state.retryInSeconds !== null && state.retryInSeconds > 0) {
      return new this.kit.errors.TooEarlyError(`${name} may not be tried again yet`, { retryAfter: state.retryInSeconds });
    }
    return hasEnded(state.run) && state.step !== 'running' ? this.expired(runId, state.run) : undefined;
  }

  private ofHook(runId: string, { eventType, correlationId }: NewWorldEvent, state: State): Error | undefined {
    if (eventType === 'hook_created') {
      if (state.hasHook) return this.conflict(`hook ${correlationId} of run ${runId} exists already`);
      return hasEnded(state.run) ? this.conflict(`run ${runId} has ended (${state.run})`) : undefined;
    }
    if (this.line.hasAttributes && eventType === 'hook_received' && hasEnded(state.run)) return this.expired(runId, state.run);
    return state.hasLiveHook && !hasEnded(state.run) ? undefined : new this.kit.errors.HookNotFoundError(correlationId ?? '');
  }

  private ofWait(runId: string, { eventType, correlationId }: NewWorldEvent, state: State): Error | undefined {
    const name = `wait ${correlationId} of run ${runId}`;
    if (hasEnded(state.run)) return this.conflict(`run ${runId} has ended (${state.run})`);
    if (eventType === 'wait_created') return state.wait === null ? undefined : this.conflict(`${name} exists already`);
    if (state.wait === null) return new this.kit.errors.WorkflowWorldError(`${name} does not exist`, { status: 404 });
    return state.wait === 'completed' ? this.conflict(`${name} is completed already`) : undefined;
  }

  conflict(text: string): Error {
    return new this.kit.errors.EntityConflictError(text);
  }

  /** Error for an event that found another state at each try. */
  busy(runId: string): Error {
    return new this.kit.errors.WorkflowWorldError(`run ${runId} changes too fast`, { status: 503 });
  }

  expired(runId: string, status: string | null): Error {
    return new this.kit.errors.RunExpiredError(`run ${runId} has ended (${status})`);
  }
}
