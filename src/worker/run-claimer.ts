import { performance } from 'node:perf_hooks';

import { setImmediate } from '../core/timers.js';
import type { ClaimKey, DispatchKey, OwnedRun } from '../core/run.js';
import { tracer } from '../core/tracing.js';
import { EMPTY_HISTORY } from '../core/step.js';
import type { Database } from '../store/database.js';
import type { SessionFence } from '../store/session-fence.js';
import { claimNamed, markExclusive, SUSPECT_LOSSES, type ClaimedRun } from '../store/sql/claim-runs.js';
import { AdmissionClaims } from './admission-claims.js';
import { BacklogCursor } from './backlog-cursor.js';
import { ClaimedRuns, ownedStates } from './claimed-runs.js';
import type { OwnedRunState } from './failover-check.js';
import { PerWorkerClaims } from './per-worker-claims.js';
import { Quarantine } from './quarantine.js';
import type { WorkflowRegistry } from './registry.js';
import type { ActiveRuns } from './active-runs.js';
import type { Session } from './session.js';
import type { Slots } from './slots.js';
import type { Reservation, WorkerEvents, WorkerOptions } from './worker-types.js';

/** Maximum number of worker deaths for claims that exclude no run. No run reaches this number. */
const ANY_LOSSES = 1_000_000;

/** Admits due runs that the worker claims, and runs that this process starts. */
export class RunClaimer {
  /** Claims in the statement that admits the runs. */
  readonly admissionClaims: AdmissionClaims;
  private readonly keys: readonly ClaimKey[];
  private readonly slots: Slots;
  private readonly cursor: BacklogCursor;
  private readonly claimed: ClaimedRuns;
  private readonly perWorker: PerWorkerClaims;
  private readonly quarantine: Quarantine;
  private isOpen = false;
  private claiming: Promise<void> | undefined;
  private claimAgain = false;
  private isWakePlanned = false;
  /**
   * True when more runs may be due: the last claim returned as many runs as it asked for, or there
   * was no room for a claim. The next claim follows as soon as there is room.
   */
  private backlog = false;
  /** Start time of the current claim of due runs, by performance.now(); otherwise infinity. */
  private dueClaimSince = Number.POSITIVE_INFINITY;
  /** Largest number of runs that the current claim of due runs may return. */
  private dueClaimLimit = 0;
  /** Claims in flight that name a run by its id. */
  private readonly claimsById = new Set<{ readonly since: number }>();

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
    this.claimed = new ClaimedRuns(database, session, runs, events, () => this.isOpen, options.clock);
    this.perWorker = new PerWorkerClaims(database, this.keys, (queue) => runs.countIn(queue) + this.claimed.countIn(queue));
    this.admissionClaims = new AdmissionClaims(database, this.slots, this.keys, options.deploymentId, {
      fence: () => this.fenceOfAdmission(),
      room: () => this.slots.room - this.dueClaimLimit,
      begin: async (claimed, fence, sentAt) => {
        this.noteClaim(claimed, sentAt);
        await this.claimed.beginAll(claimed, fence);
      },
      failed: (error) => this.claimFailed(error),
    });
    this.quarantine = new Quarantine(database, {
      execute: async (claimed, fence) => void (await this.claimed.beginAll(claimed, fence)),
      handBack: (claimed) => runs.unstarted.handBack(claimed),
      outlive: (ms) => session.outlive(ms),
      wake: () => this.wake(),
    });
  }

  /** Number of claimed runs whose slot of a rate limit has not opened. */
  get unopened(): number {
    return this.claimed.unopened;
  }

  get dispatchKeys(): readonly DispatchKey[] {
    return this.keys;
  }

  /** Start time of the oldest claim in flight, by performance.now(); infinity without a claim. */
  get claimingSince(): number {
    return Math.min(this.dueClaimSince, this.admissionClaims.since, ...[...this.claimsById].map(({ since }) => since));
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
    await Promise.all([this.claiming, this.admissionClaims.settled()]);
  }

  /** Forgets the backlog. Ends the quarantine, and returns its claimed runs that have not begun. */
  reset(): readonly ClaimedRun[] {
    this.backlog = false;
    return [...this.claimed.reset(), ...this.quarantine.end()];
  }

  /** Claimed runs that have not begun, as the database has them unless commits were lost. */
  ownedRuns(): OwnedRunState[] {
    return [...this.claimed.ownedRuns, ...ownedStates(this.quarantine.held)];
  }

  /** Claims due runs, if the worker has room for more runs. */
  wake(): void {
    if (!this.isOpen || this.options.takes === 'named') return;
    if (this.claiming) this.claimAgain = true;
    else if (this.slots.room > 0 || this.quarantine.isActive) this.claiming = this.claim();
    else this.backlog = true;
  }

  /**
   * Claims further runs of the backlog in the next turn of the event loop. One flush ends many
   * runs, so by then there is room for many runs, which one claim fills.
   */
  slotFreed(): void {
    if (!(this.backlog || this.perWorker.isFull) || this.claiming || this.isWakePlanned) return;
    this.isWakePlanned = true;
    setImmediate(() => {
      this.isWakePlanned = false;
      this.wake();
    });
  }

  /** Called when no run is active any more: a quarantine may begin or end now. */
  emptied(): void {
    if (this.quarantine.isActive) this.wake();
  }

  /**
   * Admits a run that is about to be started here. Returns undefined when there is no room for
   * another run, or when older runs wait for room.
   */
  reserve(key: DispatchKey): Reservation | undefined {
    const { fence } = this.session;
    if (!this.isOpen || !this.options.eagerStart || !fence) return undefined;
    if (this.backlog || this.slots.room === 0 || this.quarantine.isActive) return undefined;
    const { queues } = this.database;
    if (queues.isLimited(key.queue) || queues.perWorkerOf(key.queue) !== null) return undefined;
    if (!this.options.queues.includes(key.queue) || !this.registry.find(key.name, key.version)) return undefined;
    let held = true;
    this.slots.admit();
    const release = (): void => {
      if (held) this.slots.dismiss();
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
    const claimedAt = tracer ? Date.now() : 0;
    this.claimsById.add(inFlight);
    const run = await claimNamed(this.database, claim, runId, mostLosses).finally(() => this.claimsById.delete(inFlight));
    this.noteClaim(run ? [run] : [], inFlight.since);
    if (!run) return undefined;
    tracer?.claimed([run], claimedAt);
    // Mark the run as executed alone only now: a death of this worker before this line does not
    // count against the run.
    if (run.losses >= SUSPECT_LOSSES) await markExclusive(this.database, fence.id, run.id);
    const failure = await this.claimed.beginAll([run], fence);
    if (failure) throw failure;
    await this.claimed.whenOpened(run.id);
    return run;
  }

  private async claim(): Promise<void> {
    try {
      do {
        this.claimAgain = false;
        this.dueClaimSince = performance.now();
        await this.claimOnce();
      } while ((this.claimAgain || this.backlog) && this.isOpen && this.slots.room > 0);
      if (this.claimAgain) this.backlog = true;
    } catch (error) {
      this.backlog = false;
      this.claimFailed(error);
    } finally {
      this.claiming = undefined;
      this.dueClaimSince = Number.POSITIVE_INFINITY;
      this.dueClaimLimit = 0;
    }
  }

  /** Returns the session for a claim of admitted runs; undefined while no such claim is made. */
  private fenceOfAdmission(): SessionFence | undefined {
    return !this.isOpen || this.quarantine.isActive || this.options.takes === 'named' ? undefined : this.session.fence;
  }

  private claimFailed(error: unknown): void {
    if (this.isOpen) this.events.log('warn', 'claim-failed', 'worker: could not claim due runs; trying again at the next poll', error);
  }

  private noteClaim(claimed: readonly ClaimedRun[], sentAt: number): void {
    const { metrics, engine } = this.options;
    metrics.claimed(claimed.length, (performance.now() - sentAt) / 1_000);
    const now = engine.now();
    for (const { queue, dueSince } of claimed) if (dueSince !== undefined) metrics.claimDelayed(queue, Math.max(0, now - dueSince) / 1_000);
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
    // Claims in the statement that admits runs need room too.
    const limit = this.database.queues.hasLimits ? Math.ceil(this.slots.room / 2) : this.slots.room;
    if (limit === 0) {
      this.backlog = true;
      return;
    }
    this.dueClaimLimit = limit;
    const claim = { fence, keys: this.keys, deploymentId: this.options.deploymentId, limit };
    const sentAt = performance.now();
    const claimedAt = tracer ? Date.now() : 0;
    const { otherKeys } = this.perWorker;
    const others = otherKeys.length > 0 ? await this.cursor.claim({ ...claim, keys: otherKeys }) : [];
    const claimed = [...others, ...(await this.perWorker.claim(claim, limit - others.length))];
    this.noteClaim(claimed, sentAt);
    tracer?.claimed(claimed, claimedAt);
    // A claim from the middle of the backlog may return few runs although there are more at the
    // start.
    this.backlog = claimed.length >= limit || (otherKeys.length > 0 && this.cursor.isUnsure);
    await this.claimed.beginAll(claimed, fence);
    if (this.quarantine.isSearchDue) {
      await this.quarantine.search({ ...claim, limit: this.slots.size });
      if (this.quarantine.isActive) this.claimAgain = true;
    }
  }
}
