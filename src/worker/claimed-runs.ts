import { UNSEALED_BATCH } from '../core/batch.js';
import type { DatabaseClock } from '../core/clock.js';
import { ClosedError, FencedError } from '../core/errors/index.js';
import { EMPTY_HISTORY, type History } from '../core/step.js';
import type { Database } from '../store/database.js';
import type { SessionFence } from '../store/session-fence.js';
import type { ClaimedRun } from '../store/sql/claim-runs.js';
import { sealBatches } from '../store/sql/seal-batches.js';
import { resetRun } from '../store/sql/reset-run.js';
import type { ActiveRuns } from './active-runs.js';
import type { OwnedRunState } from './failover-check.js';
import { HistoryLoader } from './history-loader.js';
import { UNREAD } from './inbox-reader.js';
import { OpeningTimes } from './opening-times.js';
import type { Session } from './session.js';
import type { WorkerEvents } from './worker-types.js';

/**
 * Begins the runs that a claim has returned, with their histories. Hands back the runs that cannot
 * begin here.
 */
export class ClaimedRuns {
  private readonly loader: HistoryLoader;
  /** Claimed runs whose histories are being loaded, by run id. */
  private readonly loading = new Map<string, ClaimedRun>();
  /** Claimed runs whose slot of a rate limit has not opened. */
  private readonly openings: OpeningTimes;

  /** @param isOpen returns false once the worker begins no further run */
  constructor(
    private readonly database: Database,
    private readonly session: Session,
    private readonly runs: ActiveRuns,
    private readonly events: WorkerEvents,
    private readonly isOpen: () => boolean,
    clock: Pick<DatabaseClock, 'now' | 'at'>,
  ) {
    const { slots, log, unstarted } = runs;
    this.openings = new OpeningTimes(database, clock, (error) =>
      events.log('warn', 'limit-failed', 'worker: could not reserve a slot of a rate limit; trying again', error),
    );
    this.loader = new HistoryLoader(database, runs, {
      block: (run, error) => {
        slots.dismiss();
        log.blocked(run, error);
        unstarted.block(run, error);
      },
      postpone: (run) => {
        slots.dismiss();
        unstarted.postpone(run);
      },
    });
  }

  /** Number of claimed runs whose slot of a rate limit has not opened. */
  get unopened(): number {
    return this.openings.runs.length;
  }

  /** Expected database state of the claimed runs that have not begun. */
  get ownedRuns(): OwnedRunState[] {
    return ownedStates([...this.loading.values(), ...this.openings.runs]);
  }

  /**
   * Loads the histories of claimed runs and begins the runs. Admits each run.
   *
   * @returns an error when some runs were handed back, otherwise undefined
   */
  async beginAll(found: readonly ClaimedRun[], fence: SessionFence): Promise<Error | undefined> {
    const unsealed = found.filter(({ input }) => input === UNSEALED_BATCH);
    if (unsealed.length > 0) return this.beginBatches(found, unsealed, fence);
    return this.beginSealed(found, fence);
  }

  /** Begins claimed runs among which are batches whose members are not fixed yet. */
  private async beginBatches(
    found: readonly ClaimedRun[],
    unsealed: readonly ClaimedRun[],
    fence: SessionFence,
  ): Promise<Error | undefined> {
    const others = this.beginSealed(
      found.filter((run) => !unsealed.includes(run)),
      fence,
    );
    for (const run of unsealed) this.loading.set(run.id, run);
    let batches: ClaimedRun[];
    try {
      const inputs = await sealBatches(this.database, fence, unsealed);
      batches = unsealed.flatMap((run) => (inputs.has(run.id) ? [{ ...run, input: inputs.get(run.id)! }] : []));
      // A batch that has lost its members has ended.
      for (const run of unsealed) if (run.hasPlace && !inputs.has(run.id)) this.events.placeFreed(run.queue, run.queueKey ?? '');
    } catch (error) {
      this.events.log('warn', 'histories-not-loaded', 'worker: could not read the members of batches; the batches are handed back', error);
      for (const run of unsealed) this.loading.delete(run.id);
      this.runs.unstarted.handBack(unsealed);
      await others;
      return new Error('the members of batches could not be read', { cause: error });
    }
    for (const run of unsealed) this.loading.delete(run.id);
    const failure = await this.beginSealed(batches, fence);
    return (await others) ?? failure;
  }

  private async beginSealed(claimed: readonly ClaimedRun[], fence: SessionFence): Promise<Error | undefined> {
    this.runs.slots.admit(claimed.length);
    let failure = this.begin(
      claimed.filter((run) => !run.hasHistory),
      fence,
      () => EMPTY_HISTORY,
    );
    const known = claimed.filter((run) => run.hasHistory);
    for (const run of known) this.loading.set(run.id, run);
    for await (const { runs, histories, error } of this.loader.load(known)) {
      if (error === undefined) {
        failure = this.begin(runs, fence, (id) => histories.get(id)!) ?? failure;
        continue;
      }
      failure = new Error('histories could not be loaded', { cause: error });
      this.events.log('warn', 'histories-not-loaded', 'worker: could not load histories; the runs are handed back', error);
      this.runs.slots.dismiss(runs.length);
      this.runs.unstarted.handBack(runs);
    }
    for (const run of known) this.loading.delete(run.id);
    await this.runs.inboxes.deliver(claimed.filter(mayHaveMessages));
    return failure;
  }

  /**
   * Begins claimed runs, or hands them back if the claim is no longer valid. Since the claim was
   * sent, the worker may have begun to close or lost its session. Or another server, which may lack
   * the claim, may have taken over.
   */
  private begin(claimed: readonly ClaimedRun[], fence: SessionFence, historyOf: (id: string) => History): Error | undefined {
    if (this.session.fence === fence && this.isOpen()) {
      for (const run of claimed) {
        if (this.runs.hasFormer(run)) {
          void this.handBackSuccessor(run, fence);
          continue;
        }
        if (run.opensAt === undefined) this.beginOne(run, historyOf(run.id));
        else this.openings.hold(run, run.opensAt, () => this.beginLater(run, fence, historyOf(run.id)));
      }
      return undefined;
    }
    if (claimed.length === 0) return undefined;
    this.runs.slots.dismiss(claimed.length);
    if (this.session.id === fence.id) this.runs.unstarted.handBack(claimed);
    return this.isOpen() ? new FencedError('the session was lost before the run began') : new ClosedError();
  }

  /** Number of claimed runs of a queue that have not begun. */
  countIn(queue: string): number {
    return [...this.loading.values(), ...this.openings.runs].filter((run) => run.queue === queue).length;
  }

  /** Resolves when the run no longer waits for its slot of a rate limit. */
  whenOpened(runId: string): Promise<void> {
    return this.openings.whenOpened(runId);
  }

  /** Forgets the runs that wait for their slot of a rate limit, and returns them. */
  reset(): readonly ClaimedRun[] {
    const held = this.openings.reset();
    this.runs.slots.dismiss(held.length);
    return held;
  }

  private beginOne(run: ClaimedRun, history: History): void {
    const begin = run.wakeCount > 0 ? 'inboxFirst' : 'atOnce';
    this.runs.begin(mayHaveMessages(run) ? { ...run, wakeCount: UNREAD } : run, history, begin);
  }

  /** Begins a run whose slot has opened, or hands it back when the claim is no longer valid. */
  private beginLater(run: ClaimedRun, fence: SessionFence, history: History): void {
    if (this.session.fence === fence && this.isOpen()) {
      this.beginOne(run, history);
      if (mayHaveMessages(run)) this.runs.inboxes.checkSoon(run.id);
      return;
    }
    this.runs.slots.dismiss();
    if (this.session.id === fence.id) this.runs.unstarted.handBack([run]);
  }

  /**
   * Hands back a claimed run that has the id of a deleted run which is still executed here. Both
   * runs stop, because the last writes of the deleted run may have changed the row of the new run.
   */
  private async handBackSuccessor(run: ClaimedRun, fence: SessionFence): Promise<void> {
    this.runs.slots.dismiss();
    try {
      await this.runs.dropFormer(run.id);
      if (await resetRun(this.database, fence, run)) void this.events.due([run]);
    } catch (error) {
      // The next comparison with the runs that the session owns will find this run and hand it
      // back.
      this.events.log('warn', 'hand-back-failed', `worker: could not hand back run "${run.id}" yet`, error, { runId: run.id });
    }
  }
}

/** State of claimed runs that have not begun. */
export function ownedStates(claimed: readonly ClaimedRun[]): OwnedRunState[] {
  return claimed.map(({ id, epoch }) => ({ id, epoch, lastSeq: 0, isLeaving: false }));
}

/**
 * True when the run may have messages. A run that was never executed has messages only if its wake
 * counter is above 0.
 */
function mayHaveMessages(run: ClaimedRun): boolean {
  return run.hasHistory || run.wakeCount > 0;
}
