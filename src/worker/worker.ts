import { setTimeout as sleep } from 'node:timers/promises';

import { ClosedError, FencedError } from '../core/errors/index.js';
import type { DispatchKey } from '../core/run.js';
import { within } from '../core/within.js';
import type { Database } from '../store/database.js';
import type { Journal } from '../store/journal.js';
import { listOwnedRuns } from '../store/sql/inbox.js';
import { Intake } from './intake.js';
import type { WorkflowRegistry } from './registry.js';
import { RunsInHand } from './runs-in-hand.js';
import type { Session } from './session.js';
import type { Reservation, WorkerEvents, WorkerOptions } from './worker-types.js';

/** How long the last writes of a closing process may take. */
const LAST_WRITES_MS = 3_000;
/** How long the goodbye may take; without one, others notice. */
const GOODBYE_MS = 2_000;

/**
 * Claims due runs (intake.ts), executes them with the engine (runs-in-hand.ts), and lets go of those that end or only wait. It takes no more than it has
 * free slots; who tells it that something is due is a transport's business.
 */
export class Worker {
  private state: 'stopped' | 'running' | 'stopping' = 'stopped';
  private readonly runs: RunsInHand;
  private readonly intake: Intake;
  /** Runs that the database said are ours and that we do not have, with their epochs, when we last looked. */
  private strays = new Map<string, number>();

  constructor(
    private readonly database: Database,
    private readonly journal: Journal,
    registry: WorkflowRegistry,
    private readonly session: Session,
    private readonly options: WorkerOptions,
    private readonly events: WorkerEvents,
  ) {
    this.runs = new RunsInHand(database, journal, registry, session, options, events, {
      slotFreed: () => this.intake.slotFreed(),
      emptied: () => this.intake.emptied(),
    });
    this.intake = new Intake(database, registry, session, this.runs, options, events);
  }

  get dispatchKeys(): readonly DispatchKey[] {
    return this.intake.dispatchKeys;
  }

  async start(): Promise<void> {
    this.journal.useSession(await this.session.open());
    this.state = 'running';
    this.intake.open();
  }

  /** Something may be due: look, if there is room. */
  wake(): void {
    this.intake.wake();
  }

  /** A slot for a run that is about to be started here, if there is one and nothing older waits for it. */
  reserve(key: DispatchKey): Reservation | undefined {
    return this.intake.reserve(key);
  }

  /** Looks for messages to these runs, where this process has them. */
  async checkMessages(runIds: readonly string[]): Promise<void> {
    await this.runs.checkMessages(runIds);
  }

  /**
   * Compares what this process has with what the database says it owns: finds messages of which no notice came, and runs that a claim gave it
   * whose answer was lost. Those are handed back, once they have been seen twice.
   */
  async reconcile(): Promise<void> {
    const sessionId = this.session.id;
    if (!sessionId || this.state !== 'running') return;
    this.runs.warnWhenStuck();
    const rows = await listOwnedRuns(this.database, sessionId);
    if (this.session.id !== sessionId || this.state !== 'running') return;
    const strays = rows.filter((row) => !this.runs.has(row.id) && !this.intake.holds(row.id));
    const before = this.strays;
    this.strays = new Map(strays.map((row) => [row.id, row.epoch]));
    const given = strays.filter((row) => before.get(row.id) === row.epoch);
    if (given.length > 0)
      this.events.log('warn', `${given.length} runs were claimed without this process hearing of it; they are handed back`);
    this.runs.handBackUnstarted(given);
    await this.runs.deliverNews(rows);
  }

  /** The session is gone: everything that it owned is somebody else's. Stops it quietly and goes on under a new session. */
  async fenced(sessionId: string): Promise<void> {
    if (this.session.id !== sessionId) return;
    this.session.drop();
    this.journal.useSession(null);
    this.events.log('warn', `this worker's session was taken over; its ${this.runs.size} runs go on elsewhere`);
    this.intake.reset();
    this.runs.abandonAll(new FencedError('this worker lost its session'));
    for (let pause = 50; this.state === 'running'; pause = Math.min(pause * 2, 2_000)) {
      try {
        this.journal.useSession(await this.session.open());
        return this.wake();
      } catch (error) {
        this.events.log('warn', 'no new session yet', error);
        await sleep(pause);
      }
    }
  }

  /** Stops claiming, lets step bodies finish for `shutdownTimeout`, hands every run back and says goodbye. */
  async stop(): Promise<void> {
    if (this.state !== 'running') return;
    this.state = 'stopping';
    this.intake.shut();
    await this.runs.bodiesFinished(performance.now() + this.options.shutdownTimeoutMs);
    this.runs.handBackAll(new ClosedError());
    this.runs.handBackUnstarted(this.intake.reset());
    await this.journal.drain(LAST_WRITES_MS);
    await within(GOODBYE_MS, this.session.close());
    this.state = 'stopped';
    this.journal.useSession(null);
    this.runs.clear();
  }
}
