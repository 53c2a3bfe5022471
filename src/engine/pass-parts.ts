import { performance } from 'node:perf_hooks';

import type { History } from '../core/step.js';
import { Attempts } from './attempts.js';
import { CallTable } from './call-table.js';
import { Cancellation } from './cancellation.js';
import { Compensation } from './compensation.js';
import { PendingStarts } from './pending-starts.js';
import { PassContext } from './context.js';
import { DurabilityGate } from './durability-gate.js';
import { ExternalEvents } from './external-events.js';
import { PassActivity } from './pass-activity.js';
import { PassEnd } from './pass-end.js';
import { PassRecords } from './pass-records.js';
import { PassState } from './pass-state.js';
import type { PassObserver } from './pass-observer.js';
import type { EngineSettings, PassPort, PassRun, WorkflowDefinition } from './ports.js';
import { Replay } from './replay.js';
import { ResultQueue } from './result-queue.js';
import { ManualTimers, Timers } from './timers.js';
import { WorkflowFunction } from './workflow-function.js';

/**
 * Creates the objects that together make up one execution of the workflow function (a pass). Many
 * of these parts use each other. So each part keeps this object, and lists the parts that it uses
 * in its own `Parts` interface.
 */
export class PassParts {
  /** Timers of waits and retries, by step key. */
  readonly timers: Timers;
  /** Timers of the engine itself, such as the timer for the run's deadline. */
  readonly alarms: Timers;
  readonly replay: Replay;
  readonly attempts = new Attempts();
  readonly gate: DurabilityGate;
  readonly state: PassState;
  readonly workflow: WorkflowFunction;
  readonly queue: ResultQueue;
  readonly records: PassRecords;
  readonly events: ExternalEvents;
  readonly pendingStarts: PendingStarts;
  readonly calls: CallTable;
  readonly context: PassContext;
  readonly cancellation: Cancellation;
  readonly compensation: Compensation;
  readonly activity: PassActivity;
  readonly end: PassEnd;

  constructor(
    readonly run: PassRun,
    readonly definition: WorkflowDefinition,
    history: History,
    readonly port: PassPort,
    readonly settings: EngineSettings,
    readonly observer: PassObserver | undefined,
  ) {
    const lastSeq = history.steps.at(-1)?.seq ?? 0;
    const { manualClock } = settings;
    this.timers = manualClock ? new ManualTimers(manualClock) : new Timers(settings.now);
    this.alarms = manualClock ? new ManualTimers(manualClock) : new Timers(settings.now);
    this.replay = new Replay(history);
    this.gate = new DurabilityGate(history.steps.length === 0, lastSeq);
    this.state = new PassState(this);
    this.workflow = new WorkflowFunction(this);
    // A replay waits for ordinary I/O, which takes real time.
    const stallTimers = manualClock ? new Timers(() => performance.now()) : this.alarms;
    this.queue = new ResultQueue([...history.steps], this.replay, stallTimers, settings.replayStallMs, this.workflow);
    this.records = new PassRecords(this, lastSeq);
    this.events = new ExternalEvents(this);
    this.pendingStarts = new PendingStarts(this);
    this.calls = new CallTable(this, history.waits.length > 0);
    this.context = new PassContext(this.calls);
    this.cancellation = new Cancellation(this, history.waits);
    this.compensation = new Compensation(this);
    this.activity = new PassActivity(this);
    this.end = new PassEnd(this, history.waits);
  }
}
