import { WorkflowCancelledError, WorkflowTimeoutError } from '../core/errors/index.js';
import type { History } from '../core/step.js';
import type { ExternalEvents } from './external-events.js';
import type { Message } from './message.js';
import { OperatorResults } from './operator-results.js';
import type { Abortable, PassHandle } from './pass-handle.js';
import { PassParts } from './pass-parts.js';
import type { EngineSettings, PassObserver, PassPort, PassRun, WorkflowDefinition } from './ports.js';
import { TIMEOUT_KEY } from './step-keys.js';
import type { WorkflowContext } from './workflow-context.js';

/**
 * One execution of the workflow function, from the top. Recorded steps get their recorded results,
 * and the others are executed.
 *
 * A result is delivered to the code as soon as it has entered the journal (result-queue.ts). So the
 * last result and the end of the run share a flush. But no body begins before everything delivered
 * until then is durable (durability-gate.ts).
 *
 * This class is what the worker sees of a pass. The parts (pass-parts.ts) do the work:
 *
 * | Part              | Task                                                           |
 * | ----------------- | -------------------------------------------------------------- |
 * | `PassState`       | open, stopping, ended or closed                                |
 * | `WorkflowFunction`| calls the code and gives it results                            |
 * | `CallTable`       | the calls of the code: begins, settles and withdraws them      |
 * | `ResultQueue`     | order of results, one per turn                                 |
 * | `PassRecords`     | numbers results, hands them to the queue and to the journal    |
 * | `DurabilityGate`  | decides when work may begin                                    |
 * | `ExternalEvents`  | timers, messages and AbortSignals that want to enter           |
 * | `Cancellation`    | how a cancellation or a timeout reaches the code               |
 * | `PassActivity`    | tells the worker if the pass works or only waits               |
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

  /** The pass as the operations of its code see it. */
  get handle(): PassHandle {
    return this.parts.calls;
  }

  /** True when the code ended at once after the last result; undefined until it has ended. */
  get endedInTurn(): boolean | undefined {
    return this.parts.end.endedInTurn;
  }

  /** True while bodies are executed or results are not durable yet. */
  get isWorking(): boolean {
    return this.parts.activity.isWorking;
  }

  /** Attempts that are executed now. */
  get bodies(): Iterable<Abortable> {
    return this.parts.attempts.all;
  }

  /** The `seq` up to which results are durable. */
  get durableSeq(): number {
    return this.parts.gate.durable;
  }

  /** Messages that no wait has taken: their number and size, and the waits that have none. */
  get mail(): Pick<ExternalEvents, 'load' | 'missing'> {
    return this.parts.events;
  }

  /** Begins with the next turn. */
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

  /** Begins nothing new: running bodies continue, and further calls wait. */
  hold(): void {
    const { port, gate, cancellation, activity } = this.parts;
    gate.hold();
    const grace = activity.isIdle && cancellation.suspendGrace();
    if (grace) port.journal.openWait(grace, null, () => undefined);
  }

  /** Continues after `hold`. */
  resume(): void {
    const { state, gate, queue, events, activity } = this.parts;
    if (state.isClosed) return;
    gate.resume();
    if (events.isPending) queue.request();
    activity.update();
  }

  /**
   * Calls back once, when no body is executed and every result is durable. A later call replaces an
   * earlier one.
   */
  whenAtRest(callback: () => void): void {
    this.parts.activity.whenAtRest(callback);
  }

  /**
   * Cancels the run.
   *
   * @param takes id of the message in the inbox that asked for it
   */
  cancel(takes: string | null, reason: string | undefined): void {
    const { run, cancellation } = this.parts;
    cancellation.request(new WorkflowCancelledError(run.id, reason), takes);
  }

  /** Forgets the id of a taken message that has left the inbox and cannot be read again. */
  forgetMessage(id: string): void {
    this.parts.events.forgetReceived(id);
  }

  /** Offers a message of the run's inbox to the waits of the code. */
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
