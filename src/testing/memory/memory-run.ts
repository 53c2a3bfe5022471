import { RunAlreadyExistsError } from '../../core/errors/index.js';
import { PARENT_CANCELLED } from '../../core/transition.js';
import { setImmediate } from '../../core/timers.js';
import type { NewEvent } from '../../core/event.js';
import type { NewRun } from '../../core/run.js';
import type { Message } from '../../engine/message.js';
import { Pass } from '../../engine/pass.js';
import type { EngineSettings, PassJournal, PassOutcome, PassPort, PassRun, WorkflowDefinition } from '../../engine/ports.js';
import { MemoryHistory } from './memory-history.js';
import { NO_MANAGER } from './no-manager.js';

/** Largest number of suspensions of a run. At later waits, the run stays in memory. */
const MAX_SUSPENSIONS = 100;

/** Other runs, as one run sees them. */
export interface OtherRuns {
  start(run: NewRun): 'started' | 'taken';
  cancel(runId: string): void;
  emit(event: NewEvent): void;
  /** Looks for events for which the run waits. */
  meet(run: MemoryRun): void;
  ended(run: MemoryRun, outcome: PassOutcome): void;
}

/** A run whose history is in memory. Each pass is a real pass of the engine. */
export class MemoryRun {
  readonly stored = new MemoryHistory();
  readonly createdAt: number;
  /** Numbers of the events that were sent to open waits, by step key. */
  readonly sentEvents = new Map<string, string>();
  private readonly receivedEvents = new Set<string>();
  outcome: PassOutcome | undefined;
  /** Time at which a suspended run continues; infinity when only a message continues it. */
  wakeAt = Number.POSITIVE_INFINITY;
  private readonly run: PassRun;
  private pass: Pass | undefined;
  /** Time of the first timer while the pass only waits. */
  private idleUntil: number | undefined;
  private isCancelled = false;
  private suspensions = 0;
  /** Number of messages that the run has received. */
  private received = 0;

  constructor(
    readonly start: NewRun,
    private readonly definition: WorkflowDefinition,
    private readonly settings: EngineSettings,
    private readonly others: OtherRuns,
  ) {
    const now = settings.now();
    this.createdAt = now;
    const { id, input, timeoutMs, schedule = null } = start;
    const limit = timeoutMs ?? definition.runTimeoutMs ?? null;
    this.run = { id, input, startedAt: now, deadlineAt: limit === null ? null : now + limit, generation: 0, seedId: id, schedule };
  }

  /** True when the run has received the event, or will. */
  isReceiving(seq: string): boolean {
    return this.receivedEvents.has(seq) || [...this.sentEvents.values()].includes(seq);
  }

  get id(): string {
    return this.start.id;
  }

  /** True while the pass works: its code, a step body, or the module itself. */
  get isBusy(): boolean {
    return this.pass !== undefined && this.idleUntil === undefined;
  }

  /** Keys of the steps whose bodies are being executed. */
  get bodies(): string[] {
    return [...(this.pass?.bodies ?? [])].map(({ stepKey }) => stepKey);
  }

  /** Executes the workflow function from the top, with the recorded results. */
  begin(): void {
    this.wakeAt = Number.POSITIVE_INFINITY;
    this.idleUntil = undefined;
    const pass: Pass = new Pass(
      this.run,
      this.definition,
      this.stored.history,
      this.port(() => this.pass === pass),
      this.settings,
    );
    this.pass = pass;
    pass.start();
    for (const message of this.stored.inbox.values()) pass.receive(message);
    if (this.isCancelled) pass.cancel(null, PARENT_CANCELLED);
  }

  receive(message: Message): void {
    if (this.outcome) return;
    this.stored.inbox.set(message.id, message);
    this.received++;
    if (this.pass) this.pass.receive(message);
    else this.begin();
  }

  cancel(): void {
    if (this.outcome || this.isCancelled) return;
    this.isCancelled = true;
    if (this.pass) this.pass.cancel(null, PARENT_CANCELLED);
    else this.begin();
  }

  /** Removes an idle pass from memory, so that the next pass is a replay. */
  async suspend(): Promise<void> {
    const { pass } = this;
    if (!pass || this.idleUntil === undefined || this.suspensions >= MAX_SUSPENSIONS) return;
    const { received } = this;
    pass.hold();
    await new Promise((resolve) => setImmediate(resolve));
    // A message that arrived meanwhile must not wait for the next pass, which nothing would begin.
    if (this.received !== received || this.idleUntil === undefined || this.pass !== pass || pass.isWorking) return pass.resume();
    this.suspensions++;
    this.wakeAt = this.idleUntil;
    this.close(undefined);
  }

  /** Gives the pass up. The code of the pass has no effect afterwards. */
  close(reason: unknown): void {
    const { pass } = this;
    this.pass = undefined;
    this.idleUntil = undefined;
    pass?.close(reason);
  }

  private end(outcome: PassOutcome): void {
    this.outcome = outcome;
    this.pass = undefined;
    this.others.ended(this, outcome);
  }

  private port(isCurrent: () => boolean): PassPort {
    const { payloads } = this.settings;
    return {
      journal: this.journal(),
      slot: { take: () => true, wait: (granted) => granted() },
      warn: () => undefined,
      attemptFailed: () => undefined,
      ended: (outcome) => {
        if (isCurrent()) this.end(outcome);
      },
      faulted: (fault) => {
        if (!isCurrent()) return;
        this.pass = undefined;
        if (fault.kind === 'restart') return this.begin();
        const { name } = fault.error;
        this.end({ status: 'failed', error: payloads.encodeError(fault.error, this.id), failure: { code: name, step: null } });
      },
      idle: (wakeAt) => {
        if (isCurrent()) this.idleUntil = wakeAt;
      },
      working: () => {
        if (isCurrent()) this.idleUntil = undefined;
      },
    };
  }

  /** Returns a journal whose changes are durable in a later turn, as those of a database are. */
  private journal(): PassJournal {
    const { stored, others } = this;
    const later = (callback: () => void): void => void setImmediate(callback);
    const ignored = (): Promise<void> => Promise.resolve();
    return {
      record: (result, durable) => {
        stored.record(result);
        this.sentEvents.delete(result.step.stepKey);
        if (result.event !== undefined) this.receivedEvents.add(result.event);
        later(durable);
      },
      openWait: (wait, _event, durable) => {
        stored.open(wait);
        later(() => {
          if (wait.event) others.meet(this);
          durable();
        });
      },
      openChild: (wait, child, known) => {
        stored.open(wait);
        const isTaken = others.start(child) === 'taken';
        later(() => known(isTaken ? new RunAlreadyExistsError(child.id, child.name) : undefined));
      },
      closeWait: (stepKey) => {
        stored.close(stepKey);
        this.sentEvents.delete(stepKey);
      },
      dropMessage: (messageId) => void stored.inbox.delete(messageId),
      cancelChild: (stepKey, childId) => {
        if (stepKey !== null) stored.close(stepKey);
        later(() => others.cancel(childId));
      },
      startDetached: (run) => Promise.resolve(others.start(run)),
      createHook: ({ token }) => Promise.resolve({ token }),
      emit: async (event) => others.emit(event),
      setState: () => undefined,
      streams: { write: ignored, flush: ignored, unchecked: () => undefined },
      transact: async (step) => {
        const result = await step.body(NO_MANAGER);
        step.beginCommit();
        stored.record(result);
        later(() => step.committed());
      },
      chunksStored: ignored,
    };
  }
}
