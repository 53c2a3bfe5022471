import type { ScopedRuntime } from '../host/runtime-scope.js';
import type { TestDatabase } from './database/test-database.js';
import { WorkflowTestError } from './errors.js';
import type { RunningTime } from './running-time.js';

/** Milliseconds of running time without progress, after which a test gives up on an application. */
const STALLED_AFTER_MS = 4_000;

/** Milliseconds of running time after which a test gives up on an application that never idles. */
const ENDLESS_AFTER_MS = 60_000;

/** Milliseconds between two reads of the application's progress. */
const LOOK_MS = 500;

/** Largest number of runs that one error names. */
const MAX_NAMED_RUNS = 5;

/** Returns the statement that reads the progress of a schema's runs, and which runs are due. */
const progressOf = (schema: string): string => `SELECT
  (SELECT count(*) FROM ${schema}.workflow_steps) || ' ' ||
  (SELECT count(*) FROM ${schema}.workflow_runs WHERE status NOT IN ('pending', 'running')) || ' ' ||
  (SELECT count(*) FROM ${schema}.workflow_run_events),
  (SELECT json_agg(json_build_array(id, name, status)) FROM (
    SELECT id, name, status FROM ${schema}.workflow_runs WHERE status IN ('pending', 'running') ORDER BY id LIMIT ${MAX_NAMED_RUNS}) AS due)`;

type DueRun = [id: string, name: string, status: 'pending' | 'running'];
type Row = [counts: string, due: DueRun[] | null];

/** Ends the wait of a test for an application that stands still or never becomes idle. */
export class StallWatch {
  private readonly beganAt: number;
  private lookedAt: number;
  private progress = '';
  private progressAt: number;

  constructor(
    private readonly runtimes: readonly ScopedRuntime[],
    private readonly database: TestDatabase,
    private readonly time: RunningTime,
  ) {
    this.beganAt = this.lookedAt = this.progressAt = time.now();
  }

  /**
   * Reads the progress of a busy application.
   *
   * @throws WorkflowTestError naming the runs, when the application makes no progress for four
   *   seconds, or is not idle after a minute
   */
  async look(): Promise<void> {
    const now = this.time.now();
    if (now - this.lookedAt < LOOK_MS) return;
    this.lookedAt = now;
    const rows: Row[] = [];
    for (const { database } of this.runtimes) rows.push(...(await this.database.query<Row>(progressOf(database.schema), [])));
    const progress = JSON.stringify(rows);
    // A server that is slow to write is no fault of the code under test.
    const isWriting = this.runtimes.some(({ journal }) => journal.load.bytes > 0);
    if (isWriting || progress !== this.progress) [this.progress, this.progressAt] = [progress, now];
    const due = rows.flatMap(([, runs]) => runs ?? []);
    if (now - this.progressAt >= STALLED_AFTER_MS) throw new WorkflowTestError(this.describeStall(due));
    if (now - this.beganAt < ENDLESS_AFTER_MS) return;
    throw new WorkflowTestError(
      `the application was not idle within ${ENDLESS_AFTER_MS / 1_000} s: ${due.map(([id, name]) => `run "${id}" (${name})`).join(', ')} ` +
        'may call steps or start runs in an endless loop without a sleep',
    );
  }

  /** Notes that only step bodies are being executed, which have a limit of their own. */
  noteBodies(): void {
    this.progressAt = this.time.now();
  }

  private describeStall(due: readonly DueRun[]): string {
    const seconds = STALLED_AFTER_MS / 1_000;
    const named = (status: DueRun[2]): string =>
      due.flatMap(([id, name, each]) => (each === status ? [`run "${id}" (${name})`] : [])).join(', ');
    const [running, pending] = [named('running'), named('pending')];
    if (running !== '')
      return `${running} awaits something outside of steps for ${seconds} s: use a step, or a wait of the context, for what run() awaits`;
    if (pending !== '') return `${pending} is due, and the application has not executed it for ${seconds} s`;
    const isCalling = this.runtimes.some(({ workers }) => workers.isCallingListeners);
    return `${isCalling ? 'a listener of run events' : 'the application'} has been busy for ${seconds} s without any progress of a run`;
  }
}
