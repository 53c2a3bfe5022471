import { FencedError, RunAlreadyExistsError, StepNotRecordedError } from '../core/errors/index.js';
import type { NewEvent } from '../core/event.js';
import type { NewRun, OwnedRun } from '../core/run.js';
import { STEP_BYTES, type History, type OpenWait } from '../core/step.js';
import type { RunEvent, StepResult } from '../core/transition.js';
import type { NewHook, PassJournal } from '../engine/ports.js';
import type { StepTransaction } from '../engine/transaction-port.js';
import type { ExecutionServices } from './execution-services.js';
import type { KnownHistory } from './history-cache.js';
import type { InboxState } from './inbox-state.js';
import { isRefusal, type RefusalDelegate } from './refusals.js';
import { RefusedSteps } from './refused-steps.js';
import { RunStreams } from './run-streams.js';

const ignore = (): void => undefined;

/** The execution whose workflow function is being recorded. */
export interface RunRecorderDelegate extends RefusalDelegate {
  /** Called when a result has become durable. */
  resultDurable(): void;
  /** Called when a message was taken or dropped, so that the run may have room for more. */
  missing(): void;
  /** Called when this process no longer owns the run. */
  fenced(error: Error): void;
}

/**
 * Submits to the journal everything that the workflow function of a run does. Once a record is
 * durable, updates the cached history and the state of the inbox.
 */
export class RunRecorder implements PassJournal {
  private bytes: number;
  private receivesEvents = false;
  private refusedSteps: RefusedSteps | undefined;
  /** Absent until the code opens a stream, because most workflows have none. */
  private writtenStreams: RunStreams | undefined;

  constructor(
    private readonly run: OwnedRun,
    private readonly inbox: InboxState,
    /** Copy of the run's history in the cache; undefined when the cache keeps no copy. */
    private readonly known: KnownHistory | undefined,
    private readonly services: ExecutionServices,
    private readonly delegate: RunRecorderDelegate,
    /** Steps that had a result when this execution began. */
    private readonly replayed: History['steps'],
  ) {
    this.bytes = run.historyBytes;
  }

  /**
   * Approximate number of bytes of the run's history, including records that the journal has not
   * yet written.
   */
  get historyBytes(): number {
    return this.bytes;
  }

  /** True when the database refused the result of a step, and a failure is recorded instead. */
  get isReplacing(): boolean {
    return this.refusedSteps?.isReplacing ?? false;
  }

  /** True when a step of the run has received an event. */
  get hasReceivedEvents(): boolean {
    return this.receivesEvents || this.replayed.some(({ kind }) => kind === 'event');
  }

  get streams(): RunStreams {
    const { journal, effects, events } = this.services;
    const { run, replayed } = this;
    this.writtenStreams ??= new RunStreams(
      run,
      { journal, readEnd: (id, stream) => effects.streamEnd(id, stream), streamed: (id) => events.streamed(id) },
      {
        generation: run.generation,
        mayHaveChunks: replayed.length > 0 || run.epoch > 1,
        isRecorded: (stepKey) => replayed.some((step) => step.stepKey === stepKey),
      },
      (error) => this.delegate.fenced(error),
    );
    return this.writtenStreams;
  }

  /** Resolves when the streams have accepted or refused every chunk; undefined when they have. */
  uncheckedChunks(): Promise<void> | undefined {
    return this.writtenStreams?.unchecked();
  }

  /** Submits the chunks that were written so far, before another transition of the run. */
  submitChunks(): void {
    this.writtenStreams?.submitAll();
  }

  record(result: StepResult, durable: () => void, replace: (error: Error) => void): void {
    const { step, takes } = result;
    this.submitChunks();
    this.noteBytes(step);
    if (result.event !== undefined) this.receivesEvents = true;
    const { id, epoch } = this.run;
    const { journal } = this.services;
    const transition = { kind: 'step', runId: id, epoch, ...result } as const;
    const role = this.isReplacing ? 'replacement' : 'result';
    const recorded = (): void => this.recorded(result, durable);
    const refused = (error: Error): void => {
      if (!isRefusal(error)) return this.delegate.fenced(error);
      this.refusedSteps ??= new RefusedSteps(id, this.delegate);
      this.refusedSteps.refused(step.stepKey, error, role, replace, () => journal.submit(transition, recorded, refused));
    };
    journal.submit(transition, recorded, refused);
    if (takes !== null) this.delegate.missing();
  }

  async transact(step: StepTransaction): Promise<void> {
    try {
      const result = await this.services.options.transactions.execute(this.run, step);
      this.noteBytes(result.step);
      this.recorded(result, () => step.committed());
    } catch (error) {
      if (error instanceof FencedError) this.delegate.fenced(error);
      throw error;
    }
  }

  async chunksStored(): Promise<void> {
    await this.writtenStreams?.allStored();
  }

  openWait(wait: OpenWait, event: RunEvent | null, durable: () => void): void {
    const { id, epoch } = this.run;
    this.submitChunks();
    const opened = (): void => {
      this.known?.opened(wait);
      if (wait.event) this.services.effects.eventWaitOpened(id, wait.stepKey);
      durable();
    };
    const lost = (error: Error): void => {
      // A wait with an event is the pause before a step's retry. The run continues although the
      // pause is not recorded. If the process then crashes, the number of failed attempts is lost.
      if (event !== null) return durable();
      // For any other wait, block the run. A wait that is not recorded would begin again after each
      // claim, and never end.
      this.delegate.block(new StepNotRecordedError(id, wait.stepKey, { cause: error }));
    };
    this.services.journal.submit({ kind: 'wait', runId: id, epoch, wait, event }, opened, (error) => this.refused(error, lost));
  }

  openChild(wait: OpenWait, child: NewRun, known: (refusal: Error | undefined) => void): void {
    const { id, epoch } = this.run;
    this.services.journal.submit(
      { kind: 'wait', runId: id, epoch, wait, event: null, child },
      ({ outcome, ...existing }) => {
        this.known?.opened(wait);
        if (outcome === 'exists') return known(new RunAlreadyExistsError(child.id, (existing as { name: string }).name));
        this.services.effects.started(child);
        known(undefined);
      },
      (error) => this.refused(error, known),
    );
  }

  closeWait(stepKey: string): void {
    const { id, epoch } = this.run;
    this.services.journal.submit({ kind: 'closeWait', runId: id, epoch, stepKey }, () => this.known?.closed(stepKey), ignore);
  }

  cancelChild(stepKey: string | null, childId: string): void {
    const { id, epoch } = this.run;
    const sent = (): void => {
      if (stepKey !== null) this.known?.closed(stepKey);
      this.services.effects.cancelSent(childId, id);
    };
    this.services.journal.submit({ kind: 'cancelChild', runId: id, epoch, stepKey, childId }, sent, ignore);
  }

  setState(key: string, value: string): void {
    const { id, epoch } = this.run;
    this.services.journal.submit({ kind: 'state', runId: id, epoch, key, value }, ignore, ignore);
  }

  dropMessage(messageId: string, event: RunEvent | null): void {
    const { id, epoch } = this.run;
    // If the database refuses this change, the message stays in the inbox. The run drops it again
    // when the message is read again.
    const dropped = (): void => this.inbox.noteGone(messageId);
    this.services.journal.submit({ kind: 'drop', runId: id, epoch, messageId, event }, dropped, ignore);
    this.delegate.missing();
  }

  startDetached(run: NewRun): Promise<'started' | 'taken'> {
    return this.services.effects.startDetached(run);
  }

  emit(event: NewEvent): Promise<void> {
    return this.services.effects.emit(event);
  }

  createHook(hook: NewHook): Promise<{ token: string; owner?: string }> {
    return this.services.effects.createHook(this.run, hook);
  }

  /**
   * Cancels the retry of a refused step record, and drops unwritten chunks. Called when the run
   * leaves this process.
   */
  close(): void {
    this.writtenStreams?.close();
    this.refusedSteps?.close();
  }

  private noteBytes({ output, error, compensateArgs }: StepResult['step']): void {
    this.bytes += (output?.length ?? 0) + (error?.length ?? 0) + (compensateArgs?.length ?? 0) + STEP_BYTES;
  }

  private recorded(result: StepResult, durable: () => void): void {
    const { step, takes } = result;
    this.known?.recorded(result);
    if (takes !== null) this.inbox.noteGone(takes);
    if (step.kind === 'step' || step.kind === 'compensation')
      this.services.options.metrics.stepEnded(this.run.name, step.stepKey, step.status, (step.finishedAt - step.startedAt) / 1_000);
    durable();
    this.delegate.resultDurable();
  }

  private refused(error: Error, next: (error: Error) => void): void {
    if (isRefusal(error)) next(error);
    else this.delegate.fenced(error);
  }
}
