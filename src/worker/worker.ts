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
import { LoopWatch, type Body } from './loop-watch.js';
import { ActiveRuns } from './active-runs.js';
import type { Session } from './session.js';
import { OrphanedClaims } from './orphaned-claims.js';
import { listenForRejections } from './unhandled-rejections.js';
import { WorkerLog } from './worker-log.js';
import type { Reservation, WorkerEvents, WorkerOptions } from './worker-types.js';

/** Milliseconds that the last writes of a closing process may take. */
const LAST_WRITES_MS = 3_000;
/** Shortest block of the event loop that is reported, in milliseconds. */
const MIN_BLOCK_MS = 1_000;
/** Milliseconds that a closing process waits for the answer to its last claim. */
const LAST_CLAIM_MS = 1_000;
/**
 * Milliseconds that a closing process waits for its last notifications, and then for the end of its
 * session. If the session is not closed in time, other processes take over its runs once the
 * session has expired.
 */
const GOODBYE_MS = 2_000;

/**
 * Claims due runs (run-claimer.ts), executes them with the engine (active-runs.ts), and releases
 * runs that end or only wait. A claim of due runs never takes more runs than the slots have room
 * for. A transport decides when the worker claims.
 */
export class Worker {
  private state: 'stopped' | 'running' | 'stopping' = 'stopped';
  private readonly log: WorkerLog;
  private readonly runs: ActiveRuns;
  private readonly claimer: RunClaimer;
  private readonly orphanedClaims = new OrphanedClaims();
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
    this.log = new WorkerLog(events);
    this.runs = new ActiveRuns(database, journal, notifier, registry, session, options, events, {
      slotFreed: () => this.claimer.slotFreed(),
      emptied: () => this.claimer.emptied(),
    });
    this.loopWatch = new LoopWatch(
      MIN_BLOCK_MS,
      () => this.runs.bodies(),
      (message) => events.log('warn', 'event-loop-blocked', message),
      (seconds) => options.metrics.loopStalled(seconds),
    );
    this.bodiesShown = new BodiesShown(database, {
      sessionId: () => session.id,
      bodies: () => this.runs.bodies(),
      now: options.engine.now,
    });
    this.claimer = new RunClaimer(database, registry, session, this.runs, options, events);
  }

  get admissionClaims(): RunClaimer['admissionClaims'] {
    return this.claimer.admissionClaims;
  }

  get dispatchKeys(): readonly DispatchKey[] {
    return this.claimer.dispatchKeys;
  }

  /** Number of active runs, of claimed runs before their slot of a rate limit, and of slots. */
  get load(): { readonly runs: number; readonly unopened: number; readonly slots: number; readonly freeSlots: number } {
    const { size, slots } = this.runs;
    return { runs: size, unopened: this.claimer.unopened, slots: slots.size, freeSlots: slots.free };
  }

  /** Step bodies that are being executed. */
  get bodies(): Iterable<Body> {
    return this.runs.bodies();
  }

  /** Active runs for which the database refuses every change of the run's row. */
  get unwritableRuns(): { runId: string; since: number; error: Error }[] {
    return this.runs.unwritableRuns;
  }

  async start(): Promise<void> {
    this.journal.useSession(await this.session.open());
    this.state = 'running';
    this.stopListening = listenForRejections((message, error) => this.events.log('warn', 'promise-not-awaited', message, error));
    this.loopWatch.start();
    this.bodiesShown.start();
    this.claimer.open();
  }

  /** Claims due runs, if a slot is free. */
  wake(): void {
    this.claimer.wake();
  }

  /**
   * Claims a run that a transport has named, and begins the run.
   *
   * @param mode `with others` claims no suspect run (one that was lost with its worker more than
   *   once). `alone` also claims a suspect run; the caller lets no other run execute meanwhile
   * @returns undefined when the run is not due, or this process cannot execute it
   */
  claimById(runId: string, mode: 'alone' | 'with others'): Promise<ClaimedRun | undefined> {
    return this.claimer.claimById(runId, mode);
  }

  /** True when this worker can execute the run. */
  serves(run: DispatchKey & { readonly blockedDeployments: readonly string[] }): boolean {
    const isKnown = ({ queue, name, version }: DispatchKey): boolean => run.queue === queue && run.name === name && run.version === version;
    return this.dispatchKeys.some(isKnown) && !run.blockedDeployments.includes(this.options.deploymentId);
  }

  /** Resolves at once if this process does not execute the run, else when the execution ends. */
  gone(runId: string): Promise<void> {
    return this.runs.departed(runId);
  }

  /**
   * Resolves when the receivers of all messages that runs in this process have sent are notified.
   * An example is a parent, which receives a message when its child has ended.
   */
  messagesNotified(): Promise<void> {
    return this.runs.effects.notified();
  }

  /**
   * Hands a run over to other processes.
   *
   * @param when `now` aborts active step bodies; `soon` waits until they have ended and this
   *   process has recorded at least one result of the run
   */
  handOver(runId: string, when: 'soon' | 'now'): void {
    this.runs.handOver(runId, when, new ClosedError());
  }

  /**
   * Reserves a slot for a run that is about to be started here. Returns undefined when no slot is
   * free, or older runs are waiting for a slot.
   */
  reserve(key: DispatchKey): Reservation | undefined {
    return this.claimer.reserve(key);
  }

  /** Delivers new messages to the given runs. Ignores runs that this process does not execute. */
  async checkMessages(runIds: readonly string[]): Promise<void> {
    await this.runs.inboxes.check(runIds);
  }

  /**
   * Compares the active runs with the runs that the session owns in the database. Delivers messages
   * of which this process received no notice. Also hands back the runs of a claim whose answer was
   * lost: two comparisons in a row find that the session owns these runs, but this process does not
   * execute them.
   */
  async reconcile(): Promise<void> {
    const sessionId = this.session.id;
    if (!sessionId || this.state !== 'running') return;
    this.runs.warnWhenStuck();
    const { server, rows } = await listOwnedRuns(this.database, sessionId);
    if (this.session.id !== sessionId || this.state !== 'running') return;
    if (server !== this.session.fence?.server) return this.serverMoved();
    const held = new Set([...this.runs.ownedRuns(), ...this.claimer.ownedRuns()].map(({ id }) => id));
    const missing = rows.filter((row) => !held.has(row.id));
    const orphaned = this.orphanedClaims.lost(missing, this.claimer.claimingSince);
    if (orphaned.length > 0) this.log.claimAnswerLost(sessionId, orphaned.length);
    this.runs.unstarted.handBack(orphaned, 'this');
    await this.runs.deliverNew(rows);
  }

  /**
   * Stops all runs of a session that other processes have taken over, and continues with a new
   * session.
   */
  async fenced(sessionId: string): Promise<void> {
    if (this.session.id !== sessionId) return;
    this.options.metrics.sessionsFenced.add();
    this.log.takenOver(sessionId, this.runs.size);
    // The takeover counted as one death of a worker for the run that was executed alone, and three
    // deaths fail the run. This worker is alive, so the count must be corrected.
    const alone = this.claimer.exclusiveRunId;
    const takeBack = async (): Promise<void> => {
      if (alone !== null) await takeBackLoss(this.database, alone);
    };
    await this.startOver(new FencedError('this worker lost its session'), takeBack);
  }

  /**
   * Handles a change of the database server: a failover or a restart. If the new server has all
   * commits that the old server acknowledged, the work continues. Otherwise the state in memory is
   * wrong, and all runs are executed again from their stored histories. Commits can be missing
   * after asynchronous replication. Until the promise resolves, nothing is written for the
   * session's runs.
   */
  serverMoved(): Promise<void> {
    this.comparing ??= this.compare().finally(() => (this.comparing = undefined));
    return this.comparing;
  }

  private async compare(): Promise<void> {
    const { fence } = this.session;
    if (!fence) return;
    const all = (): OwnedRunState[] => [...this.runs.ownedRuns(), ...this.claimer.ownedRuns()];
    const { server, hasSession, lacking } = await checkFailover(this.database, fence.id, all);
    if (this.session.fence !== fence) return;
    if (!hasSession) return void this.fenced(fence.id);
    if (lacking === 0) {
      this.runs.histories.clear();
      this.journal.useSession(this.session.moveTo(server));
      return this.wake();
    }
    this.log.commitsLost(fence.id, lacking, this.runs.size);
    const reason = new FencedError('a failover of the database has lost what was recorded');
    void this.startOver(reason, async () => this.events.returned(await closeSession(this.database, fence.id)));
  }

  /**
   * Stops all runs without writing anything, calls `before`, and then opens a new session. Repeats
   * `before` and the opening until both succeed or the worker stops.
   */
  private async startOver(reason: FencedError, before: () => Promise<void>): Promise<void> {
    this.runs.histories.clear();
    this.session.drop();
    this.journal.useSession(null);
    this.claimer.reset();
    this.runs.abandonAll(reason);
    for (let pause = 50; this.state === 'running'; pause = Math.min(pause * 2, 2_000)) {
      try {
        await before();
        this.journal.useSession(await this.session.open());
        return this.wake();
      } catch (error) {
        this.log.sessionNotOpened(error);
        await sleep(pause);
      }
    }
  }

  /** True once `stop` was called. */
  get isClosing(): boolean {
    return this.ending !== undefined;
  }

  /**
   * Stops claiming, lets step bodies finish for at most `shutdownTimeout`, hands every run back and
   * closes the session. Every call returns the same promise.
   */
  stop(): Promise<void> {
    this.ending ??= this.end();
    return this.ending;
  }

  private async end(): Promise<void> {
    // A start that failed may have left a session, which must be closed.
    if (this.state === 'stopped') return void (await within(GOODBYE_MS, this.session.close()));
    this.state = 'stopping';
    this.claimer.close();
    await this.runs.bodiesFinished(performance.now() + this.options.shutdownTimeoutMs);
    this.runs.handBackAll(new ClosedError());
    // Wait for a claim in flight: it may return runs, which must be handed back.
    await within(LAST_CLAIM_MS, this.claimer.claimsEnded());
    this.runs.unstarted.handBack(this.claimer.reset());
    await this.journal.drain(LAST_WRITES_MS);
    await within(GOODBYE_MS, this.runs.effects.notified());
    await within(GOODBYE_MS, this.session.close());
    this.state = 'stopped';
    this.stopListening?.();
    this.loopWatch.stop();
    this.bodiesShown.stop();
    this.journal.useSession(null);
    this.runs.clear();
  }
}
