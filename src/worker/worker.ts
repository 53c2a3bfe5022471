import { performance } from 'node:perf_hooks';

import { sleep } from '../core/timers.js';
import { ClosedError, FencedError } from '../core/errors/index.js';
import type { DispatchKey } from '../core/run.js';
import { within } from '../core/async.js';
import type { Database } from '../store/database.js';
import type { Journal } from '../store/journal.js';
import type { RunNotifier } from '../store/run-notifier.js';
import { listOwnedRuns } from '../store/sql/owned-runs.js';
import type { ClaimedRun } from '../store/sql/claim-runs.js';
import { closeSession, takeBackLoss } from '../store/sql/sessions.js';
import { BodiesShown } from './bodies-shown.js';
import { checkFailover, type OwnedRunState } from './failover-check.js';
import { RunClaimer } from './run-claimer.js';
import type { WorkflowRegistry } from './registry.js';
import { LoopWatch } from './loop-watch.js';
import { ActiveRuns } from './active-runs.js';
import type { Session } from './session.js';
import { OrphanedClaims } from './orphaned-claims.js';
import { listenForRejections } from './unhandled-rejections.js';
import type { Reservation, WorkerEvents, WorkerOptions } from './worker-types.js';

/** How long the last writes of a closing process may take. */
const LAST_WRITES_MS = 3_000;
/** From when on a block of the event loop is reported. */
const LEAST_BLOCK_MS = 1_000;
/** How long the answer to the last claim may take. */
const LAST_CLAIM_MS = 1_000;
/** How long the goodbye may take; without one, others notice. */
const GOODBYE_MS = 2_000;

/**
 * Claims due runs (intake.ts), executes them with the engine (runs-in-hand.ts), and lets go of those that end or only wait. It takes no more than it has
 * free slots; who tells it that something is due is a transport's business.
 */
export class Worker {
  private state: 'stopped' | 'running' | 'stopping' = 'stopped';
  private readonly runs: ActiveRuns;
  private readonly intake: RunClaimer;
  private readonly strays = new OrphanedClaims();
  private comparing: Promise<void> | undefined;
  private stopListening: (() => void) | undefined;
  private ending: Promise<void> | undefined;
  private readonly loopWatch: LoopWatch;
  private readonly bodiesShown: BodiesShown;

  constructor(
    private readonly database: Database,
    private readonly journal: Journal,
    notifier: RunNotifier,
    registry: WorkflowRegistry,
    private readonly session: Session,
    private readonly options: WorkerOptions,
    private readonly events: WorkerEvents,
  ) {
    this.runs = new ActiveRuns(database, journal, notifier, registry, session, options, events, {
      slotFreed: () => this.intake.slotFreed(),
      emptied: () => this.intake.emptied(),
    });
    this.loopWatch = new LoopWatch(
      LEAST_BLOCK_MS,
      () => this.runs.bodies(),
      (message) => events.log('warn', message),
    );
    this.bodiesShown = new BodiesShown(database, {
      sessionId: () => session.id,
      bodies: () => this.runs.bodies(),
      now: options.engine.now,
    });
    this.intake = new RunClaimer(database, registry, session, this.runs, options, events);
  }

  get dispatchKeys(): readonly DispatchKey[] {
    return this.intake.dispatchKeys;
  }

  /** How much it has in hand, and how much more it could take. */
  get load(): { readonly runs: number; readonly slots: number; readonly freeSlots: number } {
    const { size, slots } = this.runs;
    return { runs: size, slots: slots.size, freeSlots: slots.free };
  }

  /** Runs in hand whose rows take no change. */
  get unwritableRuns(): { runId: string; since: number; error: Error }[] {
    return this.runs.unwritableRuns;
  }

  async start(): Promise<void> {
    this.journal.useSession(await this.session.open());
    this.state = 'running';
    this.stopListening = listenForRejections((message, error) => this.events.log('warn', message, error));
    this.loopWatch.start();
    this.bodiesShown.start();
    this.intake.open();
  }

  /** Something may be due: look, if there is room. */
  wake(): void {
    this.intake.wake();
  }

  /**
   * Takes a run of which a transport has told, and executes it as far as that goes.
   *
   * @param company one that was lost with a worker again and again is taken only when it is executed alone
   * @returns undefined when it is not due, or nothing for this process
   */
  claimById(runId: string, company: 'alone' | 'with others'): Promise<ClaimedRun | undefined> {
    return this.intake.claimById(runId, company);
  }

  /** Whether it is one that this worker can execute. */
  serves(run: DispatchKey & { readonly blockedDeployments: readonly string[] }): boolean {
    const isKnown = ({ queue, name, version }: DispatchKey): boolean => run.queue === queue && run.name === name && run.version === version;
    return this.dispatchKeys.some(isKnown) && !run.blockedDeployments.includes(this.options.deploymentId);
  }

  /** Resolves when this process does not have the run, or no longer. */
  gone(runId: string): Promise<void> {
    return this.runs.gone(runId);
  }

  /** Resolves when those have been told to whom runs executed here have sent something: a child's end to its parent, for one. */
  told(): Promise<void> {
    return this.runs.effects.told();
  }

  /** Lets go of a run, for others to go on with: `soon` once something of it has been recorded here and no body is under way. */
  handOver(runId: string, when: 'soon' | 'now'): void {
    this.runs.handOver(runId, when, new ClosedError());
  }

  /** A slot for a run that is about to be started here, if there is one and nothing older waits for it. */
  reserve(key: DispatchKey): Reservation | undefined {
    return this.intake.reserve(key);
  }

  /** Looks for messages to these runs, where this process has them. */
  async checkMessages(runIds: readonly string[]): Promise<void> {
    await this.runs.inboxes.check(runIds);
  }

  /**
   * Compares what this process has with what the database says it owns: finds messages of which no notice came, and runs that a claim gave it
   * whose answer was lost. Those are handed back, once they have been seen twice.
   */
  async reconcile(): Promise<void> {
    const sessionId = this.session.id;
    if (!sessionId || this.state !== 'running') return;
    this.runs.warnWhenStuck();
    const { server, rows } = await listOwnedRuns(this.database, sessionId);
    if (this.session.id !== sessionId || this.state !== 'running') return;
    if (server !== this.session.fence?.server) return this.serverMoved();
    const held = new Set([...this.runs.holdings(), ...this.intake.holdings()].map(({ id }) => id));
    const missing = rows.filter((row) => !held.has(row.id));
    const given = this.strays.lost(missing, this.intake.claimingSince);
    if (given.length > 0)
      this.events.log('warn', `${given.length} runs were claimed without this process hearing of it; they are handed back`);
    this.runs.unstarted.handBack(given, 'this');
    await this.runs.deliverNews(rows);
  }

  /** The session is gone: everything that it owned is somebody else's. Stops it quietly and goes on under a new session. */
  async fenced(sessionId: string): Promise<void> {
    if (this.session.id !== sessionId) return;
    this.events.log('warn', `this worker's session was taken over; its ${this.runs.size} runs go on elsewhere`, undefined, { sessionId });
    // It lives: that death must not count against the run that was executed alone.
    const alone = this.intake.exclusiveRunId;
    const takeBack = async (): Promise<void> => {
      if (alone !== null) await takeBackLoss(this.database, alone);
    };
    await this.startOver(new FencedError('this worker lost its session'), takeBack);
  }

  /**
   * Another server answers, or the same one after a restart. Where it has all that had been acknowledged, the work goes on as if nothing had happened. Where it
   * does not (asynchronous replication), what this process remembers is worth nothing: its runs are executed anew from what is recorded.
   * Resolves when it is known which; until then nothing is written for the session's runs.
   */
  serverMoved(): Promise<void> {
    this.comparing ??= this.compare().finally(() => (this.comparing = undefined));
    return this.comparing;
  }

  private async compare(): Promise<void> {
    const { fence } = this.session;
    if (!fence) return;
    const all = (): OwnedRunState[] => [...this.runs.holdings(), ...this.intake.holdings()];
    const { server, hasSession, lacking } = await checkFailover(this.database, fence.id, all);
    if (this.session.fence !== fence) return;
    if (!hasSession) return void this.fenced(fence.id);
    if (lacking === 0) {
      this.runs.histories.clear();
      this.journal.useSession(this.session.moveTo(server));
      return this.wake();
    }
    const what = `the database has failed over and lost commits: ${lacking} of ${this.runs.size} runs in hand lack something`;
    this.events.log('warn', `${what}; all are executed anew from what is recorded`);
    const reason = new FencedError('a fail-over of the database has lost what was recorded');
    void this.startOver(reason, async () => this.events.returned(await closeSession(this.database, fence.id)));
  }

  /** Stops everything quietly and goes on under a new session, once `before` is done. */
  private async startOver(reason: FencedError, before: () => Promise<void>): Promise<void> {
    this.runs.histories.clear();
    this.session.drop();
    this.journal.useSession(null);
    this.intake.reset();
    this.runs.abandonAll(reason);
    for (let pause = 50; this.state === 'running'; pause = Math.min(pause * 2, 2_000)) {
      try {
        await before();
        this.journal.useSession(await this.session.open());
        return this.wake();
      } catch (error) {
        this.events.log('warn', 'no new session yet', error);
        await sleep(pause);
      }
    }
  }

  /** Whether it is closing, or closed. */
  get isClosing(): boolean {
    return this.ending !== undefined;
  }

  /** Stops claiming, lets step bodies finish for `shutdownTimeout`, hands every run back and says goodbye. All who ask wait for the same end. */
  stop(): Promise<void> {
    this.ending ??= this.end();
    return this.ending;
  }

  private async end(): Promise<void> {
    // A worker that could not be started may have left a session all the same.
    if (this.state === 'stopped') return void (await within(GOODBYE_MS, this.session.close()));
    this.state = 'stopping';
    this.intake.shut();
    await this.runs.bodiesFinished(performance.now() + this.options.shutdownTimeoutMs);
    this.runs.handBackAll(new ClosedError());
    // A claim whose answer is on its way has runs to hand back.
    await within(LAST_CLAIM_MS, this.intake.claimed());
    this.runs.unstarted.handBack(this.intake.reset());
    await this.journal.drain(LAST_WRITES_MS);
    await within(GOODBYE_MS, this.runs.effects.told());
    await within(GOODBYE_MS, this.session.close());
    this.state = 'stopped';
    this.stopListening?.();
    this.loopWatch.stop();
    this.bodiesShown.stop();
    this.journal.useSession(null);
    this.runs.clear();
  }
}
