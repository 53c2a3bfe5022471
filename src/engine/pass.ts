import { WorkflowCancelledError, WorkflowTimeoutError } from '../core/errors/index.js';
import type { History } from '../core/step.js';
import type { ExternalEvents } from './external-events.js';
import type { Message } from './message.js';
import { OperatorResults } from './operator-results.js';
import type { Abortable, PassHandle } from './pass-handle.js';
import { PassParts } from './pass-parts.js';
import type { PassObserver } from './pass-observer.js';
import type { EngineSettings, PassPort, PassRun, WorkflowDefinition } from './ports.js';
import { TIMEOUT_KEY } from '../core/step-key-format.js';
import type { WorkflowContext } from './workflow-context.js';

/**
 * One execution of the workflow function, from its start. A step with a recorded result gets that
 * result, and other steps are executed.
 *
 * A result is delivered to the code as soon as the journal has it, before it is durable
 * (result-queue.ts). So one flush can store the last result together with the end of the run. But
 * no step body begins before all delivered results are durable (durability-gate.ts).
 *
 * The worker uses only this class. The parts of the class (pass-parts.ts) do the work:
 *
 * | Part              | Task                                                           |
 * | ----------------- | -------------------------------------------------------------- |
 * | `PassState`       | open, stopping, ended or closed                                |
 * | `WorkflowFunction`| calls the code and gives it results                            |
 * | `CallTable`       | the calls of the code: begins, settles and withdraws them      |
 * | `ResultQueue`     | order of results, one per turn                                 |
 * | `PassRecords`     | numbers results, hands them to the queue and to the journal    |
 * | `DurabilityGate`  | decides when work may begin                                    |
 * | `ExternalEvents`  | due timers, messages and aborted AbortSignals                  |
 * | `Cancellation`    | how a cancellation or a timeout reaches the code               |
 * | `Compensation`    | undoes the calls of a run or of a saga that fails              |
 * | `PassActivity`    | reports to the worker whether the pass works or only waits     |
 * | `PassEnd`         | outcome of the run                                             |
 */
export class Pass {
  private readonly parts: PassParts;

  constructor(
    run: PassRun,
    definition: WorkflowDefinition,
    history: History,
    port: PassPort,
    settings: EngineSettings,
    observer?: PassObserver,
  ) {
    this.parts = new PassParts(run, definition, history, port, settings, observer);
  }

  get context(): WorkflowContext {
    return this.parts.context;
  }

  /** Interface of this pass for steps, waits and other operations. */
  get handle(): PassHandle {
    return this.parts.calls;
  }

  /**
   * True when the code ended in direct response to the last result, false when ordinary I/O came in
   * between. Undefined until the code has ended.
   */
  get endedInTurn(): boolean | undefined {
    return this.parts.end.endedInTurn;
  }

  /** True while step bodies are executed or results are not durable yet. */
  get isWorking(): boolean {
    return this.parts.activity.isWorking;
  }

  /** Attempts at step bodies that are being executed. */
  get bodies(): Iterable<Abortable> {
    return this.parts.attempts.all;
  }

  /** Number (`seq`) up to which all results are durable. */
  get durableSeq(): number {
    return this.parts.gate.durable;
  }

  /**
   * Number and size of messages that no wait has taken, and channels of waits that have no message
   * yet.
   */
  get messages(): Pick<ExternalEvents, 'load' | 'missing'> {
    return this.parts.events;
  }

  /** Starts the pass. The workflow function is called in a later turn. */
  start(): void {
    const { run, alarms, cancellation, workflow } = this.parts;
    const expire = (): void => cancellation.request(new WorkflowTimeoutError(run.id), null);
    if (run.deadlineAt !== null) alarms.set(TIMEOUT_KEY, run.deadlineAt, expire);
    workflow.start();
  }

  /**
   * Gives the pass up. Nothing that its code still does has any effect, calls never settle, and
   * running bodies are aborted.
   */
  close(reason: unknown): void {
    this.parts.state.close(reason);
  }

  /** Holds the pass: running bodies continue, and the work of further calls waits for `resume`. */
  hold(): void {
    const { port, gate, cancellation, activity } = this.parts;
    gate.hold();
    const grace = activity.isIdle && cancellation.suspendGrace();
    if (grace) port.journal.openWait(grace, null, () => undefined);
  }

  /** Continues a pass after `hold`. */
  resume(): void {
    const { state, gate, queue, events, activity } = this.parts;
    if (state.isClosed) return;
    gate.resume();
    activity.retryQueued();
    if (events.isPending) queue.request();
    activity.update();
  }

  /**
   * Calls `callback` once, as soon as no step body is running and every result is durable. A later
   * callback replaces an earlier one.
   */
  whenAtRest(callback: () => void): void {
    this.parts.activity.whenAtRest(callback);
  }

  /**
   * Cancels the run.
   *
   * @param takes id of the inbox message that asked for the cancellation; null when no message did
   */
  cancel(takes: string | null, reason: string | undefined): void {
    const { run, cancellation } = this.parts;
    cancellation.request(new WorkflowCancelledError(run.id, reason), takes);
  }

  /** Forgets the id of a message that was deleted from the inbox and cannot be read again. */
  forgetMessage(id: string): void {
    this.parts.events.forgetReceived(id);
  }

  /** Offers a message of the run's inbox to the open waits of the code. */
  receive(message: Message): void {
    const { state, events } = this.parts;
    if (!state.isClosed) events.receive(message);
  }

  /** Gives a step the result that an operator has set. */
  resolve(stepKey: string, message: Message): void {
    const { state, calls } = this.parts;
    if (state.isClosed) return;
    calls.operatorResults ??= new OperatorResults(this.parts);
    calls.operatorResults.receive(stepKey, message);
  }
}
