import { NonRetryableError, RunAlreadyExistsError, WorkflowCancelledError } from '../core/errors/index.js';
import type { NewEvent } from '../core/event.js';
import type { DurableMetrics } from '../core/metrics/durable-metrics.js';
import type { Payloads } from '../core/payloads.js';
import { dueRun, type NewRun, type OwnedRun } from '../core/run.js';
import { PARENT_CANCELLED, type Committed } from '../core/transition.js';
import type { NewHook } from '../engine/ports.js';
import type { Database } from '../store/database.js';
import type { Journal } from '../store/journal.js';
import type { RunNotifier } from '../store/run-notifier.js';
import { createHook } from '../store/sql/hooks.js';
import { readStreamEnd, type StreamEnd } from '../store/sql/streams.js';
import type { Session } from './session.js';
import type { EventsPort, WorkerEvents } from './worker-types.js';

/** Executes the effects of active runs on other runs: starts, messages, cancellations, hooks. */
export class RunEffects {
  /** Notifications in flight. */
  private readonly notifying = new Set<Promise<void>>();

  constructor(
    private readonly database: Database,
    private readonly journal: Journal,
    private readonly notifier: RunNotifier,
    private readonly session: Session,
    private readonly payloads: Payloads,
    private readonly events: WorkerEvents,
    private readonly now: () => number,
    private readonly metrics: DurableMetrics,
    private readonly emitted: EventsPort,
  ) {}

  /** Announces a run whose start is durable to all processes that may execute the run. */
  started(run: NewRun): void {
    this.metrics.runStarted(run.name);
    void this.events.due([dueRun(run, this.now())]);
  }

  private joinedBatch({ queue, name, version, queueKey }: NewRun, { announced }: Extract<Committed, { outcome: 'batched' }>): void {
    this.metrics.runStarted(name);
    if (announced) void this.events.due([{ queueKey, queue, name, version, ...announced }]);
  }

  /** Notifies runs of messages that have become durable. */
  sent(runIds: readonly string[]): void {
    this.follow(this.notifier.notify(runIds));
  }

  /**
   * Notifies a run that its parent, `parentId`, has requested its cancellation. The request is
   * durable.
   */
  cancelSent(runId: string, parentId: string): void {
    const error = this.payloads.encodeError(new WorkflowCancelledError(runId, PARENT_CANCELLED), runId);
    this.follow(this.notifier.notifyOfCancel([{ runId, error, parentId }]));
  }

  /** Resolves when all notifications in flight have succeeded or failed. */
  async notified(): Promise<void> {
    await Promise.all(this.notifying);
  }

  startDetached(run: NewRun): Promise<'started' | 'taken'> {
    return new Promise((resolve, reject) => {
      this.journal.submit(
        { kind: 'start', runId: run.id, run, owned: false },
        (committed) => {
          if (committed.outcome === 'exists' && committed.name !== run.name) {
            return reject(new NonRetryableError(`the id is taken`, { cause: new RunAlreadyExistsError(run.id, committed.name) }));
          }
          if (committed.outcome === 'exists' && committed.parentRunId !== run.parentRunId) return resolve('taken');
          if (committed.outcome === 'batched') this.joinedBatch(run, committed);
          else this.started(run);
          resolve('started');
        },
        reject,
      );
    });
  }

  /** Emits an event. Resolves when the event is durable. */
  emit(event: NewEvent): Promise<void> {
    return this.emitted.emit(event);
  }

  /** Looks for events that a wait has missed before it became durable. */
  eventWaitOpened(runId: string, stepKey: string): void {
    this.emitted.opened(runId, stepKey);
  }

  /** Reads the last chunk of a stream; undefined when the stream has no chunks. */
  async streamEnd(runId: string, stream: string): Promise<StreamEnd | undefined> {
    return (await readStreamEnd(this.database, runId, stream))?.end;
  }

  async createHook(run: OwnedRun, hook: NewHook): Promise<{ token: string; owner?: string }> {
    const { fence } = this.session;
    const made = fence && (await createHook(this.database, fence, { runId: run.id, epoch: run.epoch, ...hook }));
    if (!made) throw new Error('this worker no longer owns the run');
    return made;
  }

  private follow(notification: Promise<void>): void {
    const followed = notification.finally(() => this.notifying.delete(followed));
    this.notifying.add(followed);
  }
}
