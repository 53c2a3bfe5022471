import type { KnownWorker } from '../client/queries/health.js';
import { dispatchKeyText, type DispatchKey } from '../core/run.js';
import { dispatchLabel, servedHint, ServedKeys } from '../core/served.js';
import { clearTimeout, setTimeout } from '../core/timers.js';
import type { Database } from '../store/database.js';
import { DUE_COUNTED, findDueRuns, listSessions, type DueRuns } from '../store/sql/health.js';

/** A run is looked for once it had this time to be claimed. */
const LOOK_AFTER_MS = 25_000;
/**
 * The time until a look for a run that nobody was known to serve; its worker may be about to boot.
 */
const LOOK_SOON_MS = 5_000;
const OVERDUE_MS = 20_000;
/** Kinds of runs that were warned of; more are not told apart. */
const MAX_WARNED = 1_000;
/** Most workflows that the warning names when no process executes runs. */
const MAX_NAMED = 3;

/** The process, as the watch needs it. */
export interface UnregisteredWatchOptions {
  readonly worker: () => KnownWorker;
  /** Milliseconds since the epoch, by the database's clock. */
  readonly now: () => number;
  readonly warn: (message: string, error?: unknown) => void;
  readonly lookAfterMs?: number;
  readonly lookSoonMs?: number;
}

/**
 * Warns of due runs that no living process executes: a misspelt name or queue, a class that is not
 * among the providers, no worker at all. A process with a worker looks all the time; another one
 * looks some time after it has made runs due. A run that nobody served at the last look is looked
 * for within seconds. Each kind of runs is warned of once, until somebody serves it.
 */
export class UnregisteredWatch {
  private timer: NodeJS.Timeout | undefined;
  private soon: NodeJS.Timeout | undefined;
  /** Served by a living process when it was last looked. */
  private readonly known = new ServedKeys();
  private readonly warned = new Set<string>();
  /** True from the warning that no process executes runs until a process does. */
  private hasWarnedOfNoWorker = false;
  private stopped = false;
  /** The look under way, or the last one. */
  private looking: Promise<void> = Promise.resolve();

  constructor(
    private readonly database: Database,
    private readonly options: UnregisteredWatchOptions,
  ) {}

  /**
   * Looks later, because something is due or may be; soon where nobody was known to serve these
   * runs.
   */
  note(runs?: readonly DispatchKey[]): void {
    if (this.stopped) return;
    const { lookAfterMs = LOOK_AFTER_MS, lookSoonMs = LOOK_SOON_MS } = this.options;
    // A script that has started its runs may end.
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.begin(Math.min(OVERDUE_MS, lookAfterMs));
    }, lookAfterMs).unref();
    if (!runs || this.soon || runs.every((run) => this.known.has(run))) return;
    this.soon = setTimeout(() => {
      this.soon = undefined;
      this.begin(lookSoonMs / 2);
    }, lookSoonMs).unref();
  }

  /** Begins no further look. Resolves when the one under way has ended. */
  stop(): Promise<void> {
    this.stopped = true;
    clearTimeout(this.timer);
    clearTimeout(this.soon);
    return this.looking;
  }

  /** Looks once the look under way has ended. */
  private begin(overdueMs: number): void {
    this.looking = this.looking.then(() => this.look(overdueMs));
  }

  private async look(overdueMs: number): Promise<void> {
    if (this.stopped) return;
    try {
      await this.warnOfUnregistered(overdueMs);
    } catch (error) {
      if (!this.stopped) this.options.warn('worker: could not look up due runs', error);
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
      this.options.warn(unservedLine(kind, served));
    }
  }

  /** Warns once for all workflows, because the cause is the same. */
  private warnOfNoWorker(overdue: readonly DueRuns[]): void {
    if (overdue.length === 0 || this.hasWarnedOfNoWorker) return;
    this.hasWarnedOfNoWorker = true;
    const more = overdue.length > MAX_NAMED ? ` and ${overdue.length - MAX_NAMED} more workflows` : '';
    const runs = overdue.slice(0, MAX_NAMED).map(dueLabel).join(', ');
    this.options.warn(
      `no process executes runs: is the worker off (\`worker: false\` or DURABLE_WORKER=off)? ${runs}${more}. client.health() lists such runs`,
    );
  }
}

/** Due runs in words: `2 runs of "order" version 1 in queue "default" due since ...`. */
function dueLabel(kind: DueRuns): string {
  const { due, oldestDueAt } = kind;
  const more = due < DUE_COUNTED ? '' : ' or more';
  return `${due === 1 ? '1 run' : `${due}${more} runs`} of ${dispatchLabel(kind)} due since ${new Date(oldestDueAt).toISOString()}`;
}

function unservedLine(kind: DueRuns, served: ReadonlySet<string>): string {
  const them = kind.due === 1 ? 'it' : 'them';
  const hint = servedHint(kind, served);
  const advice = hint?.remedy ?? 'Is the name or the queue misspelt, is the workflow not among the providers, or does its worker not run?';
  return (
    `${dueLabel(kind)}: no live worker executes ${them}${hint === undefined ? '' : ` (${hint.reason})`}. ` +
    `${advice}${advice.endsWith('?') ? '' : '.'} client.health() lists such runs; client.terminate() ends ${them}`
  );
}
