import { setImmediate } from 'node:timers/promises';

import { NonRetryableError, RunAlreadyExistsError, WorkflowCancelledError } from '../core/errors/index.js';
import type { Payloads } from '../core/payloads.js';
import { dueRun, type NewRun, type OwnedRun } from '../core/run.js';
import type { NewHook } from '../engine/ports.js';
import type { Database } from '../store/database.js';
import type { Journal } from '../store/journal.js';
import { bumpRuns, type BumpedRun } from '../store/sql/bump-runs.js';
import { createHook } from '../store/sql/hooks.js';
import { tellAllOfCancel } from '../store/sql/inbox.js';
import { forwardMessages } from '../store/sql/send-signal.js';
import { PARENT_CANCELLED } from '../core/transition.js';
import type { Session } from './session.js';
import type { WorkerEvents } from './worker-types.js';

/** What runs in hand set off outside themselves: other runs, messages, hooks. */
export class Outbound {
  /** Runs for which messages are durable and that have not been told. */
  private untold: Set<string> | undefined;
  /** Those of them that are asked to stop. */
  private unasked: Map<string, string> | undefined;
  /** What is being told. */
  private readonly telling = new Set<Promise<void>>();

  constructor(
    private readonly database: Database,
    private readonly journal: Journal,
    private readonly session: Session,
    private readonly payloads: Payloads,
    private readonly events: WorkerEvents,
    private readonly now: () => number,
  ) {}

  /** A run is durable that somebody may execute. */
  started(run: NewRun): void {
    this.events.due([dueRun(run, this.now())]);
  }

  /** Messages for these runs are durable: they are told, all of one round of the event loop together. */
  sent(runIds: readonly string[]): void {
    if (!this.untold) {
      this.untold = new Set();
      this.soon('runs could not be told of their messages yet', () => {
        const ids = [...(this.untold ?? [])];
        this.untold = undefined;
        return this.tell(ids);
      });
    }
    for (const id of runIds) this.untold.add(id);
  }

  /** A request of `parentId` to cancel this run is durable: it is told, together with others. */
  cancelSent(runId: string, parentId: string): void {
    if (!this.unasked) {
      this.unasked = new Map();
      this.soon('runs could not be asked to stop yet', () => {
        const parents = this.unasked ?? new Map<string, string>();
        this.unasked = undefined;
        return this.ask(parents);
      });
    }
    this.unasked.set(runId, parentId);
  }

  /** Resolves when all that has been sent by now has been told, or could not be. */
  async told(): Promise<void> {
    await Promise.all(this.telling);
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
          this.started(run);
          resolve('started');
        },
        reject,
      );
    });
  }

  async createHook(run: OwnedRun, hook: NewHook): Promise<{ token: string; owner?: string }> {
    const { fence } = this.session;
    const made = fence && (await createHook(this.database, fence, { runId: run.id, epoch: run.epoch, ...hook }));
    if (!made) throw new Error('this worker no longer has the run');
    return made;
  }

  /** In the next round of the event loop. What is not told, the inbox sweep will. */
  private soon(failure: string, tell: () => Promise<void>): void {
    const telling = setImmediate()
      .then(tell)
      .catch((error: unknown) => this.events.log('warn', failure, error))
      .finally(() => this.telling.delete(telling));
    this.telling.add(telling);
  }

  /** @param parents of each run that is to stop, who asks it to */
  private async ask(parents: ReadonlyMap<string, string>): Promise<void> {
    const errors = [...parents.keys()].map((id) => {
      const error = new WorkflowCancelledError(id, PARENT_CANCELLED);
      return [id, this.payloads.encodeError(error, id)] as const;
    });
    const told = await tellAllOfCancel(this.database, new Map(errors), parents);
    // One that was continued as another has the request there.
    for (const [id, parent] of parents) {
      const successor = told.has(id) ? undefined : await forwardMessages(this.database, id);
      if (successor !== undefined) await this.ask(new Map([[successor, parent]]));
    }
    const asked = [...told];
    const ended = asked.filter(([, { status }]) => status === 'cancelled').map(([id]) => id);
    if (ended.length > 0) this.events.endedUnstarted(ended);
    this.announce(asked.flatMap(([id, { status, key }]) => (key ? [{ id, status, ...key }] : [])));
  }

  private async tell(runIds: readonly string[]): Promise<void> {
    if (runIds.length > 0) this.announce(await bumpRuns(this.database, runIds));
  }

  private announce(bumped: readonly BumpedRun[]): void {
    const due = bumped.filter(({ status }) => status === 'pending');
    if (due.length > 0) this.events.due(due);
    const running = bumped.filter(({ status }) => status === 'running').map(({ id }) => id);
    if (running.length > 0) this.events.messaged(running);
  }
}
