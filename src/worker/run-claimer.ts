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

/** More than any run is lost. */
const ANY_LOSSES = 1_000_000;

/** Fills the free slots: with due runs that it claims, and with runs that are started in this process. */
export class RunClaimer {
  private readonly keys: readonly ClaimKey[];
  private readonly slots: Slots;
  private readonly claimer: BacklogCursor;
  private readonly loader: HistoryLoader;
  private readonly quarantine: Quarantine;
  private isOpen = false;
  private claiming: Promise<void> | undefined;
  private claimAgain = false;
  /** The last claim took all that it asked for: there is more. */
  private backlog = false;
  /** When the claim began that is under way, of performance.now(); infinity when none is. */
  private unnamedSince = Number.POSITIVE_INFINITY;
  /** Claims of one run each that are under way. */
  private readonly named = new Set<{ readonly since: number }>();
  /** Runs that have been claimed and whose histories are on their way. */
  private readonly taking = new Map<string, ClaimedRun>();

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
    this.claimer = new BacklogCursor(database);
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
      execute: async (claimed, fence) => void (await this.take(claimed, fence)),
      handBack: (claimed) => runs.unstarted.handBack(claimed),
      outlive: (ms) => session.outlive(ms),
      wake: () => this.wake(),
    });
  }

  get dispatchKeys(): readonly DispatchKey[] {
    return this.keys;
  }

  /** When the oldest claim that is under way began, of performance.now(); infinity when none is. */
  get claimingSince(): number {
    return Math.min(this.unnamedSince, ...[...this.named].map(({ since }) => since));
  }

  /** The run that is executed here with no other beside it. */
  get exclusiveRunId(): string | null {
    return this.quarantine.exclusiveRunId;
  }

  open(): void {
    this.isOpen = true;
    this.wake();
  }

  /** Takes nothing more; what a claim under way brings is handed back. */
  shut(): void {
    this.isOpen = false;
  }

  /** Resolves when no claim of due runs is under way. */
  async claimed(): Promise<void> {
    await this.claiming;
  }

  /** Forgets what it knew of what is due; returns the runs that have been claimed and not begun. */
  reset(): readonly ClaimedRun[] {
    this.backlog = false;
    return this.quarantine.end();
  }

  /** What the database must have of what has been claimed and has not begun. */
  holdings(): OwnedRunState[] {
    const claimed = [...this.taking.values(), ...this.quarantine.held];
    return claimed.map(({ id, epoch }) => ({ id, epoch, lastSeq: 0, isLeaving: false }));
  }

  /** Something may be due: look, if there is room. */
  wake(): void {
    if (!this.isOpen || this.options.takes === 'named') return;
    if (this.claiming) this.claimAgain = true;
    else if (this.slots.free > 0 || this.quarantine.isActive) this.claiming = this.claim();
  }

  slotFreed(): void {
    if (this.backlog) this.wake();
  }

  /** Nothing is in hand any more. */
  emptied(): void {
    if (this.quarantine.isActive) this.wake();
  }

  /** A slot for a run that is about to be started here, if there is one and nothing older waits for it. */
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
   * Takes this run, if it is due. Undefined when it is not, or this process cannot have it.
   *
   * @throws ClosedError, and whatever keeps a run from beginning that has been taken: it is handed back, and must be told of again
   */
  async claimById(runId: string, company: 'alone' | 'with others'): Promise<ClaimedRun | undefined> {
    const { fence } = this.session;
    if (!fence || !this.isOpen) return undefined;
    const mostLosses = company === 'alone' ? ANY_LOSSES : SUSPECT_LOSSES - 1;
    const claim = { fence, keys: this.keys, deploymentId: this.options.deploymentId };
    const underWay = { since: performance.now() };
    this.named.add(underWay);
    const run = await claimNamed(this.database, claim, runId, mostLosses).finally(() => this.named.delete(underWay));
    if (!run) return undefined;
    // Only now: a death before counts against nobody.
    if (run.losses >= SUSPECT_LOSSES) await markExclusive(this.database, fence.id, run.id);
    const failure = await this.take([run], fence);
    if (failure) throw failure;
    return run;
  }

  private async claim(): Promise<void> {
    try {
      do {
        this.claimAgain = false;
        this.unnamedSince = performance.now();
        await this.claimOnce();
      } while ((this.claimAgain || this.backlog) && this.isOpen && this.slots.free > 0);
    } catch (error) {
      this.backlog = false;
      if (this.isOpen) this.events.log('warn', 'due runs could not be claimed', error);
    } finally {
      this.claiming = undefined;
      this.unnamedSince = Number.POSITIVE_INFINITY;
    }
  }

  private async claimOnce(): Promise<void> {
    const { fence } = this.session;
    if (!fence || this.keys.length === 0) {
      // Or the loop that claims for as long as there is more would never let anything else happen.
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
    const claimed = await this.claimer.claim(claim);
    // Fewer than asked for, from a place in the middle, says nothing of what stands before it.
    this.backlog = claimed.length >= limit || this.claimer.isUnsure;
    await this.take(claimed, fence);
    if (this.quarantine.isDueForLook) {
      await this.quarantine.look({ ...claim, limit: this.slots.size });
      if (this.quarantine.isActive) this.claimAgain = true;
    }
  }

  /** @returns why some have been handed back, if some have */
  private async take(claimed: readonly ClaimedRun[], fence: SessionFence): Promise<Error | undefined> {
    this.slots.take(claimed.length);
    let failure = this.begin(
      claimed.filter((run) => !run.hasHistory),
      fence,
      () => EMPTY_HISTORY,
    );
    // A fresh run's counter tells whether something came before it began.
    const known = claimed.filter((run) => run.hasHistory);
    for (const run of known) this.taking.set(run.id, run);
    for await (const { runs, histories, error } of this.loader.load(known)) {
      if (error === undefined) {
        failure = this.begin(runs, fence, (id) => histories.get(id)!) ?? failure;
        continue;
      }
      failure = new Error('histories could not be loaded', { cause: error });
      this.events.log('warn', 'histories could not be loaded; the runs are handed back', error);
      this.runs.freeSlots(runs.length);
      this.runs.unstarted.handBack(runs);
    }
    for (const run of known) this.taking.delete(run.id);
    await this.runs.inboxes.deliver(claimed.filter(mayHaveMail));
    return failure;
  }

  /** Much may have happened since the claim was sent: the worker may be closing, the session gone, or another server be there, which may lack the claim. */
  private begin(claimed: readonly ClaimedRun[], fence: SessionFence, historyOf: (id: string) => History): Error | undefined {
    if (this.session.fence === fence && this.isOpen) {
      for (const run of claimed) {
        if (this.runs.hasFormer(run)) {
          void this.putBack(run, fence);
          continue;
        }
        const begin = run.wakeCount > 0 ? 'inboxFirst' : 'atOnce';
        this.runs.begin(mayHaveMail(run) ? { ...run, wakeCount: UNREAD } : run, historyOf(run.id), begin);
      }
      return undefined;
    }
    if (claimed.length === 0) return undefined;
    this.runs.freeSlots(claimed.length);
    if (this.session.id === fence.id) this.runs.unstarted.handBack(claimed);
    return this.isOpen ? new FencedError('the session was lost before the run began') : new ClosedError();
  }

  /** A deleted run of the same id is still executed here, and its last writes may have met this one: both start over. */
  private async putBack(run: ClaimedRun, fence: SessionFence): Promise<void> {
    this.runs.freeSlots(1);
    try {
      await this.runs.dropFormer(run.id);
      if (await resetRun(this.database, fence, run)) void this.events.due([run]);
    } catch (error) {
      // The comparison with what the session owns finds the run, and hands it back.
      this.events.log('warn', `run "${run.id}" could not be handed back yet`, error, { runId: run.id });
    }
  }
}

/** Something may have been sent to the run before it was claimed. */
function mayHaveMail(run: ClaimedRun): boolean {
  return run.hasHistory || run.wakeCount > 0;
}
