import type { Payloads } from '../core/payloads.js';
import { executionScope } from './current.js';
import type { WorkflowInstanceFactory, WorkflowCode } from './ports.js';
import type { Timers } from './timers.js';

/** Who wants the code. */
export interface InstanceCreationDelegate {
  isClosed(): boolean;
  made(code: WorkflowCode): void;
  /** It could not be made: nothing is active until `wakeAt`. */
  idle(wakeAt: number): void;
  busy(): void;
  unreadable(error: unknown): void;
}

const RETRY = '$instance';

/**
 * Makes the code of a pass before the first turn, so that it may take time without showing in the order of calls. What cannot be made is tried
 * again: constructors and factories connect to things, and a run shall not fail for ever because something was away for a moment.
 */
export class InstanceCreation {
  private state: 'making' | 'made' | 'failed' = 'making';
  private waiting: ((outcome: 'made' | 'failed') => void)[] = [];

  constructor(
    private readonly run: { readonly id: string; readonly input: string },
    private readonly maker: WorkflowInstanceFactory,
    private readonly payloads: Payloads,
    private readonly alarms: Timers,
    private readonly owner: InstanceCreationDelegate,
  ) {}

  get isDone(): boolean {
    return this.state === 'made';
  }

  begin(): void {
    this.state = 'making';
    let input: unknown;
    try {
      input = this.payloads.decode(this.run.input, 'input');
    } catch (error) {
      return this.owner.unreadable(error);
    }
    // Outside of whatever started the run: a constructor that calls a step must not call it for another run.
    const making = executionScope.exit(async () => this.maker.make({ runId: this.run.id, input }));
    making.then(
      (code) => this.made(code),
      (error: unknown) => this.failed(error),
    );
  }

  /** Calls back once it is known whether the code can be made. */
  whenKnown(known: (outcome: 'made' | 'failed') => void): void {
    if (this.state === 'making') this.waiting.push(known);
    else known(this.state);
  }

  private made(code: WorkflowCode): void {
    if (this.owner.isClosed()) return;
    this.state = 'made';
    this.owner.made(code);
    this.tell('made');
  }

  private failed(error: unknown): void {
    if (this.owner.isClosed()) return;
    this.state = 'failed';
    const wakeAt = Math.floor(this.alarms.now()) + this.maker.failed(this.run.id, error);
    this.tell('failed');
    if (this.owner.isClosed()) return;
    this.owner.idle(wakeAt);
    this.alarms.set(RETRY, wakeAt, () => {
      this.owner.busy();
      this.begin();
    });
  }

  private tell(outcome: 'made' | 'failed'): void {
    for (const known of this.waiting.splice(0)) known(outcome);
  }
}
