import type { KnownWorker } from '../client/queries/health.js';
import type { Warn } from '../core/log-fields.js';
import { dispatchKeyText, type DispatchKey } from '../core/run.js';
import { dispatchLabel, servedHint, ServedKeys } from '../core/served.js';
import { clearTimeout, setTimeout } from '../core/timers.js';
import type { Database } from '../store/database.js';
import { DUE_COUNTED, findDueRuns, listSessions, type DueRuns } from '../store/sql/health.js';

/**
 * Milliseconds between a start of runs and the check for unclaimed runs. A worker normally claims
 * started runs long before.
 */
const CHECK_AFTER_MS = 25_000;
/**
 * Milliseconds until the check when no process was known to serve the started runs. A worker that
 * is about to boot may still claim these runs meanwhile.
 */
const CHECK_SOON_MS = 5_000;
const OVERDUE_MS = 20_000;
/** Maximum number of kinds of runs (workflow, version and queue) about which the watch warns. */
const MAX_WARNED = 1_000;
/** Maximum number of workflows that the warning names when no process executes runs. */
const MAX_NAMED = 3;

/** Parts of the process that the watch uses. */
export interface UnregisteredWatchOptions {
  readonly worker: () => KnownWorker;
  /** Returns the time of the database's clock, in milliseconds since the epoch. */
  readonly now: () => number;
  readonly warn: Warn;
  readonly checkAfterMs?: number;
  readonly checkSoonMs?: number;
}

/**
 * Warns about due runs that no living process executes. The name or queue may be misspelt, the
 * class may be missing among the providers, or no worker may run. A process with a worker checks
 * for such runs at intervals. Any other process checks once, some time after it has started or
 * woken runs. The check follows within seconds if, at the latest check, no process served the
 * workflow of these runs. The watch warns once about each combination of workflow, version and
 * queue. It can warn again after a process has served the combination.
 */
export class UnregisteredWatch {
  private timer: NodeJS.Timeout | undefined;
  private soon: NodeJS.Timeout | undefined;
  /** Workflows, versions and queues that a living process served at the latest check. */
  private readonly known = new ServedKeys();
  private readonly warned = new Set<string>();
  /** True after the warning that no process executes runs, until a process executes runs again. */
  private hasWarnedOfNoWorker = false;
  private stopped = false;
  /** Current or latest check. */
  private checking: Promise<void> = Promise.resolve();

  constructor(
    private readonly database: Database,
    private readonly options: UnregisteredWatchOptions,
  ) {}

  /**
   * Plans a check for unclaimed runs, because runs are due or may become due. The check follows
   * soon when no process was known to serve the given runs.
   */
  note(runs?: readonly DispatchKey[]): void {
    if (this.stopped) return;
    const { checkAfterMs = CHECK_AFTER_MS, checkSoonMs = CHECK_SOON_MS } = this.options;
    // The timer does not keep the process alive, so a script may end after it has started its runs.
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.begin(Math.min(OVERDUE_MS, checkAfterMs));
    }, checkAfterMs).unref();
    if (!runs || this.soon || runs.every((run) => this.known.has(run))) return;
    this.soon = setTimeout(() => {
      this.soon = undefined;
      this.begin(checkSoonMs / 2);
    }, checkSoonMs).unref();
  }

  /** Stops the watch. Resolves when the current check has ended. */
  stop(): Promise<void> {
    this.stopped = true;
    clearTimeout(this.timer);
    clearTimeout(this.soon);
    return this.checking;
  }

  /** Begins a check after the current check has ended. */
  private begin(overdueMs: number): void {
    this.checking = this.checking.then(() => this.check(overdueMs));
  }

  private async check(overdueMs: number): Promise<void> {
    if (this.stopped) return;
    try {
      await this.warnOfUnregistered(overdueMs);
    } catch (error) {
      if (!this.stopped) this.options.warn('due-lookup-failed', 'worker: could not look up due runs', error);
    }
    if (this.options.worker().keys) this.note();
  }

  private async warnOfUnregistered(overdueMs: number): Promise<void> {
    const sessions = (await listSessions(this.database)).filter(({ isExpired }) => !isExpired);
    const own = this.options.worker().keys ?? [];
    const served = new Set([...own.map(dispatchKeyText), ...sessions.flatMap(({ serves }) => serves)]);
    this.known.replace(served);
    for (const key of served) this.warned.delete(key);
    const latest = this.options.now() - overdueMs;
    const overdue = (await findDueRuns(this.database)).filter((kind) => !served.has(dispatchKeyText(kind)) && kind.oldestDueAt <= latest);
    if (served.size === 0) return this.warnOfNoWorker(overdue);
    this.hasWarnedOfNoWorker = false;
    for (const kind of overdue) {
      const key = dispatchKeyText(kind);
      if (this.warned.has(key) || this.warned.size >= MAX_WARNED) continue;
      this.warned.add(key);
      this.options.warn('unregistered-due', unregisteredLine(kind, served), undefined, { workflow: kind.name, count: kind.due });
    }
  }

  /**
   * Warns once, and not for each workflow, because all have the same cause: no process executes
   * runs.
   */
  private warnOfNoWorker(overdue: readonly DueRuns[]): void {
    if (overdue.length === 0 || this.hasWarnedOfNoWorker) return;
    this.hasWarnedOfNoWorker = true;
    const more = overdue.length > MAX_NAMED ? ` and ${overdue.length - MAX_NAMED} more workflows` : '';
    const runs = overdue.slice(0, MAX_NAMED).map(dueLabel).join(', ');
    this.options.warn(
      'no-worker',
      `worker: no process executes runs: is the worker off (\`worker: false\` or DURABLE_WORKER=off)? ${runs}${more}. client.health() lists such runs`,
    );
  }
}

/** Describes due runs: `2 runs of "order" version 1 in queue "default" due since ...`. */
function dueLabel(kind: DueRuns): string {
  const { due, oldestDueAt } = kind;
  const more = due < DUE_COUNTED ? '' : ' or more';
  return `${due === 1 ? '1 run' : `${due}${more} runs`} of ${dispatchLabel(kind)} due since ${new Date(oldestDueAt).toISOString()}`;
}

function unregisteredLine(kind: DueRuns, served: ReadonlySet<string>): string {
  const them = kind.due === 1 ? 'it' : 'them';
  const hint = servedHint(kind, served);
  const advice = hint?.remedy ?? 'Is the name or the queue misspelt, is the workflow not among the providers, or does its worker not run?';
  return (
    `worker: ${dueLabel(kind)}: no live worker executes ${them}${hint === undefined ? '' : ` (${hint.reason})`}. ` +
    `${advice}${advice.endsWith('?') ? '' : '.'} client.health() lists such runs; client.terminate() ends ${them}`
  );
}
