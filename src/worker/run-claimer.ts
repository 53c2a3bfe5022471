import { performance } from 'node:perf_hooks';
import { ClosedError, FencedError } from '../core/errors/index.js';
import type { ClaimKey, DispatchKey, OwnedRun } from '../core/run.js';
import { EMPTY_HISTORY, type History } from '../core/step.js';
import type { Database } from '../store/database.js';
import type { SessionFence } from '../store/session-fence.js';
import { claimNamed, markExclusive, SUSPECT_LOSSES, type ClaimedRun } from '../store/sql/claim-runs.js';
import { resetRun } from '../store/sql/reset-run.js';
import { BacklogCursor } from './backlog-cursor.js';
import { HistoryLoader } from './history-loader.js';
import type { OwnedRunState } from './failover-check.js';
import { UNREAD } from './inbox-reader.js';
import { Quarantine } from './quarantine.js';
import type { WorkflowRegistry } from './registry.js';
import type { ActiveRuns } from './active-runs.js';
import type { Session } from './session.js';
import type { Slots } from './slots.js';
import type { Reservation, WorkerEvents, WorkerOptions } from './worker-types.js';

/** Maximum number of worker deaths for claims that exclude no run. No run reaches this number. */
const ANY_LOSSES = 1_000_000;

/** Fills free slots with due runs that the worker claims and runs that this process starts. */
export class RunClaimer {
  private readonly keys: readonly ClaimKey[];
  private readonly slots: Slots;
  private readonly cursor: BacklogCursor;
  private readonly loader: HistoryLoader;
  private readonly quarantine: Quarantine;
  private isOpen = false;
  private claiming: Promise<void> | undefined;
  private claimAgain = false;
  /** True when the last claim returned as many runs as it asked for, so more runs are due. */
  private backlog = false;
  /** Start time of the current claim of due runs, by performance.now(); otherwise infinity. */
  private dueClaimSince = Number.POSITIVE_INFINITY;
  /** Claims in flight that name a run by its id. */
  private readonly claimsById = new Set<{ readonly since: number }>();
  /** Claimed runs whose histories are being loaded, by run id. */
  private readonly loading = new Map<string, ClaimedRun>();

  constructor(
    private readonly database: Database,
    private readonly registry: WorkflowRegistry,
    private readonly session: Session,
    private readonly runs: ActiveRuns,
    private readonly options: WorkerOptions,
    private readonly events: WorkerEvents,
  ) {
    this.keys = registry.keys(options.queues);
    this.slots = runs.slots;
    this.cursor = new BacklogCursor(database);
    this.loader = new HistoryLoader(database, runs, {
      block: (run, error) => {
        runs.freeSlots(1);
        runs.log.blocked(run.id, error);
        runs.unstarted.block(run, error);
      },
      postpone: (run) => {
        runs.freeSlots(1);
        runs.unstarted.postpone(run);
      },
    });
    this.quarantine = new Quarantine(database, {
      execute: async (claimed, fence) => void (await this.beginAll(claimed, fence)),
      handBack: (claimed) => runs.unstarted.handBack(claimed),
      outlive: (ms) => session.outlive(ms),
      wake: () => this.wake(),
    });
  }

  get dispatchKeys(): readonly DispatchKey[] {
    return this.keys;
  }

  /** Start time of the oldest claim in flight, by performance.now(); infinity without a claim. */
  get claimingSince(): number {
    return Math.min(this.dueClaimSince, ...[...this.claimsById].map(({ since }) => since));
  }

  /** Id of the run that this worker executes alone; null when no run is. */
  get exclusiveRunId(): string | null {
    return this.quarantine.exclusiveRunId;
  }

  open(): void {
    this.isOpen = true;
    this.wake();
  }

  /** Stops claiming. Runs that a claim in flight still returns are handed back. */
  close(): void {
    this.isOpen = false;
  }

  /** Resolves when no claim of due runs is in flight. */
  async claimsEnded(): Promise<void> {
    await this.claiming;
  }

  /** Forgets the backlog. Ends the quarantine, and returns its claimed runs that have not begun. */
  reset(): readonly ClaimedRun[] {
    this.backlog = false;
    return this.quarantine.end();
  }

  /** Claimed runs that have not begun, as the database has them unless commits were lost. */
  ownedRuns(): OwnedRunState[] {
    const claimed = [...this.loading.values(), ...this.quarantine.held];
    return claimed.map(({ id, epoch }) => ({ id, epoch, lastSeq: 0, isLeaving: false }));
  }

  /** Claims due runs, if a slot is free. */
  wake(): void {
    if (!this.isOpen || this.options.takes === 'named') return;
    if (this.claiming) this.claimAgain = true;
    else if (this.slots.free > 0 || this.quarantine.isActive) this.claiming = this.claim();
  }

  slotFreed(): void {
    if (this.backlog) this.wake();
  }

  /** Called when no run is active any more: a quarantine may begin or end now. */
  emptied(): void {
    if (this.quarantine.isActive) this.wake();
  }

  /**
   * Reserves a slot for a run that is about to be started here. Returns undefined when no slot is
   * free, or older runs are waiting for a slot.
   */
  reserve(key: DispatchKey): Reservation | undefined {
    const { fence } = this.session;
    if (!this.isOpen || !this.options.eagerStart || !fence) return undefined;
    if (this.backlog || this.slots.free === 0 || this.quarantine.isActive) return undefined;
    if (!this.options.queues.includes(key.queue) || !this.registry.find(key.name, key.version)) return undefined;
    let held = true;
    this.slots.take();
    const release = (): void => {
      if (held) this.runs.freeSlots(1);
      held = false;
    };
    return {
      execute: (run: OwnedRun) => {
        if (this.isOpen && this.session.fence === fence) {
          held = false;
          return this.runs.begin(run, EMPTY_HISTORY);
        }
        release();
        if (this.session.id === fence.id) this.runs.unstarted.handBack([run]);
      },
      release,
    };
  }

  /**
   * Claims one run and begins it. Returns undefined when the run is not due, or this process cannot
   * execute it.
   *
   * @param mode `with others` claims no suspect run; `alone` also claims a suspect run
   * @throws ClosedError, or the error that kept a claimed run from beginning. The run has then been
   *   handed back, and the caller must announce the run again
   */
  async claimById(runId: string, mode: 'alone' | 'with others'): Promise<ClaimedRun | undefined> {
    const { fence } = this.session;
    if (!fence || !this.isOpen) return undefined;
    const mostLosses = mode === 'alone' ? ANY_LOSSES : SUSPECT_LOSSES - 1;
    const claim = { fence, keys: this.keys, deploymentId: this.options.deploymentId };
    const inFlight = { since: performance.now() };
    this.claimsById.add(inFlight);
    const run = await claimNamed(this.database, claim, runId, mostLosses).finally(() => this.claimsById.delete(inFlight));
    if (!run) return undefined;
    // Mark the run as executed alone only now: a death of this worker before this line does not
    // count against the run.
    if (run.losses >= SUSPECT_LOSSES) await markExclusive(this.database, fence.id, run.id);
    const failure = await this.beginAll([run], fence);
    if (failure) throw failure;
    return run;
  }

  private async claim(): Promise<void> {
    try {
      do {
        this.claimAgain = false;
        this.dueClaimSince = performance.now();
        await this.claimOnce();
      } while ((this.claimAgain || this.backlog) && this.isOpen && this.slots.free > 0);
    } catch (error) {
      this.backlog = false;
      if (this.isOpen) this.events.log('warn', 'worker: could not claim due runs; trying again at the next poll', error);
    } finally {
      this.claiming = undefined;
      this.dueClaimSince = Number.POSITIVE_INFINITY;
    }
  }

  private async claimOnce(): Promise<void> {
    const { fence } = this.session;
    if (!fence || this.keys.length === 0) {
      // Clear the flag. Otherwise the loop in `claim` would never end, and block the event loop.
      this.backlog = false;
      return;
    }
    if (this.quarantine.isActive) {
      this.backlog = false;
      await this.quarantine.advance(fence, this.runs.size);
      if (this.quarantine.isActive) return;
    }
    const limit = this.slots.free;
    if (limit === 0) return;
    const claim = { fence, keys: this.keys, deploymentId: this.options.deploymentId, limit };
    const claimed = await this.cursor.claim(claim);
    // A claim from the middle of the backlog may return few runs although there are more at the
    // start.
    this.backlog = claimed.length >= limit || this.cursor.isUnsure;
    await this.beginAll(claimed, fence);
    if (this.quarantine.isSearchDue) {
      await this.quarantine.search({ ...claim, limit: this.slots.size });
      if (this.quarantine.isActive) this.claimAgain = true;
    }
  }

  /**
   * Loads the histories of claimed runs and begins the runs. Takes a slot for each run.
   *
   * @returns an error when some runs were handed back, otherwise undefined
   */
  private async beginAll(claimed: readonly ClaimedRun[], fence: SessionFence): Promise<Error | undefined> {
    this.slots.take(claimed.length);
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
      this.events.log('warn', 'worker: could not load histories; the runs are handed back', error);
      this.runs.freeSlots(runs.length);
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
    if (this.session.fence === fence && this.isOpen) {
      for (const run of claimed) {
        if (this.runs.hasFormer(run)) {
          void this.handBackSuccessor(run, fence);
          continue;
        }
        const begin = run.wakeCount > 0 ? 'inboxFirst' : 'atOnce';
        this.runs.begin(mayHaveMessages(run) ? { ...run, wakeCount: UNREAD } : run, historyOf(run.id), begin);
      }
      return undefined;
    }
    if (claimed.length === 0) return undefined;
    this.runs.freeSlots(claimed.length);
    if (this.session.id === fence.id) this.runs.unstarted.handBack(claimed);
    return this.isOpen ? new FencedError('the session was lost before the run began') : new ClosedError();
  }

  /**
   * Hands back a claimed run that has the id of a deleted run which is still executed here. Both
   * runs stop, because the last writes of the deleted run may have changed the row of the new run.
   */
  private async handBackSuccessor(run: ClaimedRun, fence: SessionFence): Promise<void> {
    this.runs.freeSlots(1);
    try {
      await this.runs.dropFormer(run.id);
      if (await resetRun(this.database, fence, run)) void this.events.due([run]);
    } catch (error) {
      // The next comparison with the runs that the session owns will find this run and hand it
      // back.
      this.events.log('warn', `worker: could not hand back run "${run.id}" yet`, error, { runId: run.id });
    }
  }
}

/**
 * True when the run may have messages. A run that was never executed has messages only if its wake
 * counter is above 0.
 */
function mayHaveMessages(run: ClaimedRun): boolean {
  return run.hasHistory || run.wakeCount > 0;
}
