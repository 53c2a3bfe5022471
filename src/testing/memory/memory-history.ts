import type { Message } from '../../engine/message.js';
import type { History, OpenWait, StepRecord } from '../../core/step.js';
import type { StepResult } from '../../core/transition.js';

/** Records of a run, in place of the rows of a database. */
export class MemoryHistory {
  private readonly records = new Map<string, StepRecord>();
  private readonly waits = new Map<string, OpenWait>();
  /** Messages that no step has taken, by id. */
  readonly inbox = new Map<string, Message>();

  get history(): History {
    return { steps: this.steps, waits: [...this.waits.values()] };
  }

  /** Recorded steps in the order of `seq`. */
  get steps(): StepRecord[] {
    return [...this.records.values()].sort((a, b) => a.seq - b.seq);
  }

  /** Number of recorded steps. */
  get size(): number {
    return this.records.size;
  }

  get openWaits(): Iterable<OpenWait> {
    return this.waits.values();
  }

  record({ step, takes }: StepResult): void {
    if (!this.records.has(step.stepKey)) this.records.set(step.stepKey, step);
    if (takes !== null) this.inbox.delete(takes);
    this.waits.delete(step.stepKey);
  }

  /** Opens a wait. A wait for a later attempt replaces that for an earlier one. */
  open(wait: OpenWait): void {
    const known = this.waits.get(wait.stepKey);
    if (!known || wait.attempts > known.attempts) this.waits.set(wait.stepKey, wait);
  }

  close(stepKey: string): void {
    this.waits.delete(stepKey);
  }
}
