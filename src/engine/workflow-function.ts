import type { StepRecord } from '../core/step.js';
import { decodeInput } from './batch-payloads.js';
import { inScope } from './current.js';
import { InstanceCreation } from './instance-creation.js';
import type { PassObserver } from './pass-observer.js';
import type { EngineSettings, PassPort, PassRun, WorkflowCode, WorkflowDefinition } from './ports.js';
import type { ResultQueue, ResultQueueDelegate } from './result-queue.js';
import type { CallTable } from './call-table.js';
import type { Cancellation } from './cancellation.js';
import type { Compensation } from './compensation.js';
import type { DurabilityGate } from './durability-gate.js';
import type { ExternalEvents } from './external-events.js';
import type { PassEnd } from './pass-end.js';
import type { ActivityDelegate } from './pass-handle.js';
import type { PassState } from './pass-state.js';
import type { Timers } from './timers.js';
import type { WorkflowContext } from './workflow-context.js';

/** Other objects of the same pass (pass-parts.ts) that this class uses. */
interface Parts {
  readonly run: PassRun;
  readonly definition: WorkflowDefinition;
  readonly port: PassPort;
  readonly settings: EngineSettings;
  readonly observer: PassObserver | undefined;
  readonly state: PassState;
  readonly alarms: Timers;
  readonly gate: DurabilityGate;
  readonly queue: ResultQueue;
  readonly calls: CallTable;
  readonly context: WorkflowContext;
  readonly events: ExternalEvents;
  readonly cancellation: Cancellation;
  readonly compensation: Compensation;
  readonly activity: ActivityDelegate;
  readonly end: PassEnd;
}

/**
 * Calls the workflow function in the first turn of a pass, and delivers one result to it per turn.
 */
export class WorkflowFunction implements ResultQueueDelegate {
  /** Code of the workflow; undefined until it was created. */
  code: WorkflowCode | undefined;
  /** Recorded time of the last delivered result, which is the current time for the workflow. */
  logicalNow: number;
  /** Absent for workflows whose code is shared by all runs. */
  private readonly creation: InstanceCreation | undefined;

  constructor(private readonly parts: Parts) {
    const { run, definition } = parts;
    this.logicalNow = run.startedAt;
    if ('maker' in definition) {
      this.creation = new InstanceCreation(parts, definition.maker, (code) => {
        this.code = code;
        parts.queue.request();
      });
    } else this.code = definition;
  }

  /** Creates the workflow instance if each pass has its own, and then requests the first turn. */
  start(): void {
    if (this.creation) this.creation.begin();
    else this.parts.queue.request();
  }

  /** Calls `known` with the outcome of the creation, at once if the outcome is known. */
  whenCreated(known: (outcome: 'made' | 'failed') => void): void {
    if (this.creation) this.creation.whenKnown(known);
    else known('made');
  }

  invoke(): void {
    const { state, calls, context, end } = this.parts;
    let input: unknown;
    try {
      input = decodeInput(this.parts);
    } catch (error) {
      return state.rejectUnreadable('input', error);
    }
    inScope({ pass: calls, step: undefined, span: calls.span }, () => {
      let result: unknown;
      try {
        result = this.code!.invoke(input, context);
      } catch (error) {
        result = Promise.reject(error);
      }
      Promise.resolve(result).then(
        (value) => end.completed(value),
        (error: unknown) => end.failed(error),
      );
    });
  }

  deliver(record: StepRecord): void {
    const { settings, state, gate, calls, cancellation, compensation, end } = this.parts;
    this.logicalNow = record.finishedAt;
    gate.seenSeq = record.seq;
    end.check?.keep(record);
    try {
      if (record.kind === 'cancel') return cancellation.deliver(record);
      if (record.kind === 'patch') return;
      if (record.kind === 'compensating') return compensation.begin(record);
      if (record.kind === 'compensated') return compensation.finish();
      const call = calls.byKey.get(record.stepKey)!;
      if (call.settled) return;
      if (call.undo) compensation.ended(call, record);
      if (record.status === 'failed') call.reject(settings.payloads.decodeError(record.error!));
      else call.resolve(record.output === null ? undefined : settings.payloads.decode(record.output, 'output'));
    } catch (error) {
      state.rejectUnreadable(record.stepKey, error);
    }
  }

  admit(): void {
    const { events, queue } = this.parts;
    events.admit(() => !queue.isEmpty);
  }

  delivered(): void {
    const { observer, state, gate, queue, events, activity, end } = this.parts;
    if (end.endIfEarly()) return;
    gate.goLive();
    if (events.isPending && gate.isOpen) queue.request();
    activity.update();
    if (observer && !state.isClosed && !queue.isTurning) observer.stoodStill();
  }

  missed(step: StepRecord): void {
    const { observer, state, queue } = this.parts;
    if (observer) return observer.missed(step);
    const { stepKey, calledAfter } = step;
    const place = calledAfter === 0 ? 'at the start' : `after ${calledAfter} ${calledAfter === 1 ? 'result' : 'results'}`;
    const unrecorded = queue.unrecordedCallAfter(calledAfter);
    const instead = unrecorded === undefined ? 'the code does not call it there' : `the code calls "${unrecorded}" there`;
    state.reject(stepKey, `the history has "${stepKey}" ${place}, but ${instead}`);
  }

  stirred(): void {
    this.parts.activity.update();
  }
}
