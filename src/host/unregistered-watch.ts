import type { KnownWorker } from '../client/health.js';
import { ANY_VERSION, dispatchKeyText, type DispatchKey } from '../core/run.js';
import { clearTimeout, setTimeout } from '../core/timers.js';
import type { Database } from '../store/database.js';
import { DUE_COUNTED, findDueRuns, listSessions } from '../store/sql/health.js';

/** A run is looked for once it had this time to be claimed. */
const LOOK_AFTER_MS = 25_000;
const OVERDUE_MS = 20_000;
/** Kinds of runs that were warned of; more are not told apart. */
const MAX_WARNED = 1_000;

/** What the watch needs of its process. */
export interface UnregisteredWatchOptions {
  readonly worker: () => KnownWorker;
  /** Milliseconds since the epoch, by the database's clock. */
  readonly now: () => number;
  readonly warn: (message: string, error?: unknown) => void;
  readonly lookAfterMs?: number;
}

/**
 * Warns of due runs that no living process executes: a misspelt name or queue, a class that is not
 * among the providers, no worker at all. A process with a worker looks all the time; another one
 * looks some time after it has made runs due. Each kind of runs is warned of once.
 */
export class UnregisteredWatch {
  private timer: NodeJS.Timeout | undefined;
  private readonly warned = new Set<string>();
  private stopped = false;
  /** The look under way, or the last one. */
  private looking: Promise<void> = Promise.resolve();

  constructor(
    private readonly database: Database,
    private readonly options: UnregisteredWatchOptions,
  ) {}

  /** Something is due, or may be. */
  note(): void {
    if (this.timer || this.stopped) return;
    this.timer = setTimeout(() => void (this.looking = this.look()), this.options.lookAfterMs ?? LOOK_AFTER_MS);
    // A script that has started its runs may end.
    this.timer.unref();
  }

  /** Begins no further look. Resolves when the one under way has ended. */
  stop(): Promise<void> {
    this.stopped = true;
    clearTimeout(this.timer);
    return this.looking;
  }

  private async look(): Promise<void> {
    try {
      await this.warnOfUnregistered();
    } catch (error) {
      if (!this.stopped) this.options.warn('due runs could not be looked at', error);
    }
    this.timer = undefined;
    if (this.options.worker().keys) this.note();
  }

  private async warnOfUnregistered(): Promise<void> {
    const sessions = (await listSessions(this.database)).filter(({ isExpired }) => !isExpired);
    const own = this.options.worker().keys ?? [];
    const served = new Set([...own.map(dispatchKeyText), ...sessions.flatMap(({ serves }) => serves)]);
    const latest = this.options.now() - Math.min(OVERDUE_MS, this.options.lookAfterMs ?? OVERDUE_MS);
    for (const kind of await findDueRuns(this.database)) {
      const key = dispatchKeyText(kind);
      if (served.has(key) || this.warned.has(key) || kind.oldestDueAt > latest || this.warned.size >= MAX_WARNED) continue;
      this.warned.add(key);
      const many = kind.due < DUE_COUNTED ? '' : ' or more';
      const since = new Date(kind.oldestDueAt).toISOString();
      const nobody = sessions.length === 0 && own.length === 0 ? 'no process executes runs at all' : 'no living process executes them';
      const run = kind.due === 1 ? 'run' : 'runs';
      this.options.warn(
        `${kind.due}${many} ${run} of ${labelOf(kind)} due since ${since}: ${nobody}. Is the name or the queue misspelt, is the workflow ` +
          'not among the providers, or does its worker not run? client.health() lists such runs; client.terminate() ends them',
      );
    }
  }
}

function labelOf({ queue, name, version }: DispatchKey): string {
  return `${version === ANY_VERSION ? `"${name}"` : `"${name}" version ${version}`} in queue "${queue}"`;
}
