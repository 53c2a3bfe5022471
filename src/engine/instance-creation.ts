import { executionScope } from './current.js';
import { decodeInput } from './batch-payloads.js';
import type { EngineSettings, PassPort, PassRun, WorkflowDefinition, WorkflowInstanceFactory, WorkflowCode } from './ports.js';
import type { PassState } from './pass-state.js';
import type { Timers } from './timers.js';

const RETRY = '$instance';

/** Other objects of the same pass (pass-parts.ts) that this class uses. */
interface Parts {
  readonly run: PassRun;
  readonly definition: WorkflowDefinition;
  readonly port: PassPort;
  readonly settings: EngineSettings;
  readonly state: PassState;
  readonly alarms: Timers;
}

/**
 * Creates the workflow instance for one execution of `run` (a pass). The creation ends before `run`
 * is called, so a slow factory does not affect the order of calls.
 *
 * A failed creation is tried again. Constructors and factories may connect to services, and a
 * service that is unavailable for a moment must not fail the run for good.
 */
export class InstanceCreation {
  private state: 'making' | 'made' | 'failed' = 'making';
  private waiting: ((outcome: 'made' | 'failed') => void)[] = [];

  constructor(
    private readonly parts: Parts,
    private readonly factory: WorkflowInstanceFactory,
    private readonly created: (code: WorkflowCode) => void,
  ) {}

  /** Begins once the worker has a slot, because a factory may load other systems as a body does. */
  begin(): void {
    const { slot } = this.parts.port;
    this.state = 'making';
    if (slot.take()) this.make();
    else slot.wait(() => this.make());
  }

  private make(): void {
    const { run, state } = this.parts;
    if (state.isClosed) return;
    let input: unknown;
    try {
      input = decodeInput(this.parts);
    } catch (error) {
      return state.rejectUnreadable('input', error);
    }
    // Leaves the scope of the current code, which may belong to another run. A constructor that
    // calls a step must not call it for that run.
    const make = async (): Promise<WorkflowCode> => this.factory.make({ runId: run.id, input });
    const { span } = this.parts.port;
    const making = executionScope.exit(() => (span ? span.within(make) : make()));
    making.then(
      (code) => this.made(code),
      (error: unknown) => this.failed(error),
    );
  }

  /** Calls `known` with the outcome of the creation, at once if the outcome is known. */
  whenKnown(known: (outcome: 'made' | 'failed') => void): void {
    if (this.state === 'making') this.waiting.push(known);
    else known(this.state);
  }

  private made(code: WorkflowCode): void {
    if (this.parts.state.isClosed) return;
    this.state = 'made';
    this.parts.port.working('results');
    this.created(code);
    this.notify('made');
  }

  private failed(error: unknown): void {
    const { run, port, state, alarms } = this.parts;
    if (state.isClosed) return;
    this.state = 'failed';
    const wakeAt = Math.floor(alarms.now()) + this.factory.failed(run.id, error);
    this.notify('failed');
    if (state.isClosed) return;
    port.idle(wakeAt);
    alarms.set(RETRY, wakeAt, () => {
      port.working('results');
      this.begin();
    });
  }

  private notify(outcome: 'made' | 'failed'): void {
    for (const known of this.waiting.splice(0)) known(outcome);
  }
}
