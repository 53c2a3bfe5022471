import type { Message } from '../../src/engine/message.js';
import type { PassOutcome } from '../../src/engine/ports.js';
import type { History, OpenWait, StepRecord } from '../../src/core/step.js';
import type { RunEvent, StepResult } from '../../src/core/transition.js';

/** Entry that is to become durable. */
export type Entry = { readonly done: () => void; readonly failed: (error: Error) => void } & (
  | ({ readonly kind: 'step' } & StepResult)
  | { readonly kind: 'wait'; readonly wait: OpenWait; readonly event: RunEvent | null }
  | { readonly kind: 'closeWait'; readonly stepKey: string }
  | { readonly kind: 'ended'; readonly outcome: PassOutcome }
  | { readonly kind: 'suspended' }
);

/** Stored state of one run. */
export class Stored {
  private readonly records: StepRecord[] = [];
  readonly waits = new Map<string, OpenWait>();
  readonly events: RunEvent[] = [];
  /** Messages that no wait has taken. */
  readonly inbox = new Map<string, Message>();
  outcome: PassOutcome | undefined;
  /** Violations of invariants. */
  readonly violations: string[] = [];

  has(stepKey: string): boolean {
    return this.records.some((record) => record.stepKey === stepKey);
  }

  get history(): History {
    return { steps: this.records.toSorted((a, b) => a.seq - b.seq), waits: [...this.waits.values()] };
  }

  apply(entry: Entry): void {
    if (this.outcome) this.violations.push(`${label(entry)} was written after the end`);
    switch (entry.kind) {
      case 'step':
        if (this.has(entry.step.stepKey)) this.violations.push(`${entry.step.stepKey} was recorded twice`);
        else this.records.push(entry.step);
        if (entry.takes !== null && !this.inbox.delete(entry.takes)) this.violations.push(`message ${entry.takes} was taken twice`);
        if (entry.closesWait) this.waits.delete(entry.step.stepKey);
        if (this.waits.has(entry.step.stepKey)) this.violations.push(`${entry.step.stepKey} is recorded, and its wait is still open`);
        break;
      case 'wait': {
        const there = this.waits.get(entry.wait.stepKey);
        // As the statement does: ON CONFLICT DO UPDATE ... WHERE excluded.attempts > attempts.
        if (!there || entry.wait.attempts > there.attempts) this.waits.set(entry.wait.stepKey, entry.wait);
        if (entry.event) this.events.push(entry.event);
        break;
      }
      case 'closeWait':
        this.waits.delete(entry.stepKey);
        break;
      case 'ended':
        this.outcome = entry.outcome;
        break;
      case 'suspended':
    }
  }
}

/**
 * Behaves like the journal: entries become durable later, in order, in batches. A flush starts with
 * the next round of the event loop unless another is active.
 */
export class MemoryJournal {
  /** Entries of each flush: `step charge`, `wait sleep`, `ended`. */
  readonly flushes: string[][] = [];
  /** True while the journal accepts no entries. */
  stopped = false;
  private queue: Entry[] = [];
  private scheduled = false;
  private flushing = false;
  private life = 0;
  private count = 0;

  constructor(
    readonly stored: Stored,
    /** Virtual milliseconds that a flush takes; 0 for one round of the event loop. */
    public latency: () => number,
    /**
     * True when the database refuses an entry. All transitions of the run in that flush are refused
     * together.
     */
    private readonly refuses: (entry: Entry) => Error | undefined,
    /**
     * Called after each transition has become durable, before its callback. Returns true when the
     * process is dead.
     */
    private readonly written: (count: number) => boolean,
  ) {}

  /** Entries that are not durable yet. */
  get waiting(): readonly string[] {
    return this.queue.map(label);
  }

  submit(entry: Entry): void {
    this.queue.push(entry);
    this.schedule();
  }

  go(): void {
    this.stopped = false;
    this.schedule();
  }

  /** Drops entries that are not durable, and calls no callback of the others. */
  crash(): void {
    this.life++;
    this.queue = [];
    this.flushing = false;
    this.scheduled = false;
  }

  private schedule(): void {
    if (this.stopped || this.flushing || this.scheduled || this.queue.length === 0) return;
    this.scheduled = true;
    this.later(() => {
      this.scheduled = false;
      if (!this.stopped && !this.flushing) this.flush();
    });
  }

  private flush(): void {
    const entries = this.queue;
    this.queue = [];
    this.flushing = true;
    const ms = this.latency();
    const { life } = this;
    const write = (): void => {
      if (life === this.life) this.write(entries);
    };
    if (ms > 0) setTimeout(write, ms);
    else this.later(write);
  }

  private write(entries: readonly Entry[]): void {
    const { life } = this;
    const refusal = entries.map(this.refuses).find((error) => error !== undefined);
    if (!refusal) {
      this.flushes.push(entries.map(label));
      for (const entry of entries) {
        this.stored.apply(entry);
        if (this.written(++this.count)) return;
      }
    }
    this.flushing = false;
    for (const entry of entries) {
      if (life !== this.life) return;
      if (refusal) entry.failed(refusal);
      else entry.done();
    }
    // Calls back one round later, as the journal does. Entries that these results cause are in the
    // queue by then.
    if (this.queue.length > 0) this.later(() => this.schedule());
  }

  private later(work: () => void): void {
    const { life } = this;
    setImmediate(() => {
      if (life === this.life) work();
    });
  }
}

export function label(entry: Entry): string {
  if (entry.kind === 'ended' || entry.kind === 'suspended') return entry.kind;
  if (entry.kind === 'closeWait') return `closeWait ${entry.stepKey}`;
  return entry.kind === 'step' ? `step ${entry.step.stepKey}` : `wait ${entry.wait.stepKey}`;
}
