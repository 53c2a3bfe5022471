import { migrationSql } from '../../../migrations/index.js';
import { DatabaseClock } from '../../../src/core/clock.js';
import { newNonce, newSessionId } from '../../../src/core/ids.js';
import type { NewRun } from '../../../src/core/run.js';
import type { StepRecord } from '../../../src/core/step.js';
import type { Committed, RunChange, Transition } from '../../../src/core/transition.js';
import { Database, type ConnectionSettings } from '../../../src/store/database.js';
import type { Pooler } from '../../../src/core/pooler.js';
import { Journal } from '../../../src/store/journal.js';
import { DEFAULT_JOURNAL_LIMITS, type JournalLimits } from '../../../src/store/journal-batch.js';
import type { SessionFence } from '../../../src/store/session-fence.js';
import { openSession } from '../../../src/store/sql/sessions.js';
import { createTestDatabase, type TestDatabase } from '../database.js';

export interface JournalOptions {
  /** The URL to connect to instead of the database's own. */
  url?: string;
  limits?: Partial<JournalLimits>;
  settings?: ConnectionSettings;
  poolSize?: number;
  /** Another server answers. */
  moved?: () => Promise<void>;
  pooler?: Pooler;
}

/** A journal with a live session of its own. */
export interface OpenJournal {
  readonly journal: Journal;
  readonly database: Database;
  readonly sessionId: string;
  readonly fence: SessionFence;
  /** The sessions that the journal has reported as gone. */
  readonly fenced: string[];
  /** The errors that the journal has reported as trouble with the database. */
  readonly troubles: unknown[];
  submit(transition: Transition): Promise<Committed>;
}

/** A migrated database of a test, and journals on it. */
export class JournalFixture {
  private readonly open: { journal: Journal; database: Database }[] = [];

  private constructor(readonly admin: TestDatabase) {}

  static async create(): Promise<JournalFixture> {
    const admin = await createTestDatabase();
    await admin.query(migrationSql());
    return new JournalFixture(admin);
  }

  async journal(options: JournalOptions = {}): Promise<OpenJournal> {
    const settings = { connectionString: options.url ?? this.admin.url, ...options.settings };
    const database = new Database(settings, { poolSize: options.poolSize ?? 5, pooler: options.pooler });
    const fenced: string[] = [];
    const troubles: unknown[] = [];
    const limits = { ...DEFAULT_JOURNAL_LIMITS, ...options.limits };
    const moved = options.moved ?? (() => Promise.reject(new Error('nobody compares')));
    const events = { fenced: (id: string) => void fenced.push(id), moved, trouble: (error: unknown) => void troubles.push(error) };
    const journal = new Journal(database, new DatabaseClock(), events, limits);
    this.open.push({ journal, database });
    const fence = await newSession(database, 600_000);
    journal.useSession(fence);
    return { journal, database, sessionId: fence.id, fence, fenced, troubles, submit: (transition) => submit(journal, transition) };
  }

  async close(): Promise<void> {
    for (const { journal, database } of this.open) {
      journal.close();
      await database.close();
    }
    await this.admin.drop();
  }
}

/**
 * Creates a session without an owner. Its row claims a lock that nobody holds, so that it can be
 * taken over at any time.
 */
export async function newSession(database: Database, ttlMs = 60_000): Promise<SessionFence> {
  const id = newSessionId();
  const { server } = await openSession(database, { id, host: 'test', pid: process.pid, deploymentId: 'test', ttlMs, holdsLock: true });
  return { id, server };
}

/** Hands in a transition; settles as the journal says. */
export function submit(journal: Journal, transition: Transition): Promise<Committed> {
  return new Promise((resolve, reject) => journal.submit(transition, resolve, reject));
}

export function startOf(id: string, owned: boolean, run: Partial<NewRun> = {}): Transition {
  const standard: NewRun = {
    id,
    name: 'order',
    version: 1,
    queue: 'default',
    priority: 0,
    input: '{}',
    tags: {},
    delayMs: null,
    startAt: null,
    nonce: newNonce(),
    deploymentId: null,
  };
  return { kind: 'start', runId: id, owned, run: { ...standard, ...run } };
}

/** A step of a run that a start has made, and so of epoch 1. */
export function stepOf(runId: string, seq: number, step: Partial<StepRecord> = {}, closesWait = false): Transition {
  const now = Date.now();
  const standard: StepRecord = {
    stepKey: `step#${seq}`,
    kind: 'step',
    seq,
    status: 'completed',
    output: String(seq),
    error: null,
    attempts: 1,
    calledAfter: seq - 1,
    calledAfterIo: false,
    argsHash: null,
    startedAt: now,
    finishedAt: now,
  };
  return { kind: 'step', runId, epoch: 1, step: { ...standard, ...step }, closesWait, takes: null };
}

export function waitOf(runId: string, stepKey: string, attempts = 0): Transition {
  const event = attempts === 0 ? null : ({ kind: 'attempt_failed', stepKey, attempt: attempts, data: '{}' } as const);
  const kind = attempts === 0 ? 'sleep' : 'retry';
  return {
    kind: 'wait',
    runId,
    epoch: 1,
    wait: { stepKey, kind, name: null, wakeAt: Date.now() + 60_000, attempts, openedAt: Date.now() },
    event,
  };
}

export function changeOf(
  runId: string,
  change: RunChange = { status: 'completed', output: '"done"', error: null, leftovers: 'none' },
): Transition {
  return { kind: 'change', runId, epoch: 1, change, historyBytes: 0 };
}
