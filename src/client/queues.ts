import { checkOptions } from '../core/check-options.js';
import { checkText } from '../core/ids.js';
import { checkQueue, type QueueOptions } from '../core/queue-limits.js';
import { adoptFirst } from '../store/sql/adopt-runs.js';
import { configureQueue, pauseQueue, refreshKnownQueues } from '../store/sql/queues.js';
import { listQueued, listQueues, type QueueRow } from '../store/sql/list-queues.js';
import { assertOutsideRun } from './assert-outside-run.js';
import type { ClientDependencies } from './dependencies.js';

/** A queue with its limits and its runs. */
export interface QueueDescription {
  /** Name of the queue. */
  name: string;
  /** Limits in force. */
  limits: QueueOptions;
  /**
   * Origin of the limits in force: `options` of the module, an `override` that `configure` has
   * stored, or `none`.
   */
  source: 'options' | 'override' | 'none';
  /** Limits from the options of the module. Undefined when no process has declared any. */
  declared: QueueOptions | undefined;
  /** True when the queue is paused: it admits no run. */
  paused: boolean;
  /** Number of due runs that wait for a place, counted up to 100,000. */
  waiting: number;
  /** Time since which the oldest of these runs has been due. */
  oldestSince: Date | undefined;
  /** Number of runs that have a place. */
  places: number;
  /** Number of suspended runs among them, which keep their place because of `countSuspended`. */
  suspendedPlaces: number;
}

/** Runs that `clear` cancels. */
export interface ClearOptions {
  /** Only runs with this queue key. (default: all keys) */
  key?: string;
  /** Name of the person who clears the queue, for the history of the runs. (default: nobody) */
  actor?: string;
  /** Reason, for the history of the runs. (default: none) */
  reason?: string;
}

/** Number of runs that `clear` cancels at the same time. */
const CLEARED_AT_ONCE = 100;

/** Queues and their limits. See docs/queues.md. */
export class Queues {
  readonly #dependencies: ClientDependencies;
  readonly #cancel: (runId: string, options: { actor?: string; reason?: string }) => Promise<void>;

  /** @internal */
  constructor(dependencies: ClientDependencies, cancel: (runId: string, options: { actor?: string; reason?: string }) => Promise<void>) {
    this.#dependencies = dependencies;
    this.#cancel = cancel;
  }

  /**
   * Lists the queues that have or had limits.
   *
   * @example
   * const queues = await client.queues.list();
   * for (const { name, waiting, places } of queues) console.log(name, waiting, places);
   */
  async list(): Promise<QueueDescription[]> {
    return (await listQueues(this.#dependencies.database, null)).map(toDescription);
  }

  /**
   * Describes one queue. A queue that has never had limits has no counts.
   *
   * @throws InvalidInputError when the name is not valid
   * @example
   * const { waiting } = await client.queues.get('emails');
   */
  async get(name: string): Promise<QueueDescription> {
    const [row] = await listQueues(this.#dependencies.database, checkText(name, 'name'));
    return row ? toDescription(row) : toDescription({ ...EMPTY, name });
  }

  /**
   * Replaces the limits of a queue, for all processes, within a second. The limits stay until the
   * next call, also when processes restart with other options.
   *
   * @param limits all limits of the queue; `'declared'` returns to the limits of the module's
   *   options
   * @throws InvalidInputError naming the limit that is not valid; nothing is stored
   * @example
   * await client.queues.configure('emails', { concurrency: 5 });
   */
  async configure(name: string, limits: QueueOptions | 'declared'): Promise<void> {
    assertOutsideRun('queues.configure');
    const queue = checkText(name, 'name');
    const { database } = this.#dependencies;
    const given = limits === 'declared' ? ((await this.get(queue)).declared ?? {}) : limits;
    const checked = checkQueue(given, 'limits');
    const json = limits === 'declared' ? null : JSON.stringify(limits);
    await configureQueue(database, { kind: 'queue', name: queue, json, limits: checked });
    await this.#follow(queue, checked.isLimited);
  }

  /**
   * Pauses a queue: it admits no run. Runs that are executing continue until they end or are
   * suspended.
   *
   * @throws InvalidInputError when the name is not valid
   * @example
   * await client.queues.pause('emails');
   */
  async pause(name: string): Promise<void> {
    assertOutsideRun('queues.pause');
    const queue = checkText(name, 'name');
    await pauseQueue(this.#dependencies.database, queue, 'paused');
    await this.#follow(queue, true);
  }

  /**
   * Resumes a paused queue.
   *
   * @throws InvalidInputError when the name is not valid
   * @example
   * await client.queues.resume('emails');
   */
  async resume(name: string): Promise<void> {
    assertOutsideRun('queues.resume');
    const queue = checkText(name, 'name');
    await pauseQueue(this.#dependencies.database, queue, 'open');
    await this.#follow(queue, false);
  }

  /**
   * Cancels all runs that wait for a place in a queue. A run that has never been executed ends at
   * once. A run that was executed before cleans up when the queue admits it.
   *
   * @param options key of the runs, actor and reason (default: see each option)
   * @returns the number of runs
   * @throws InvalidInputError when an argument is not valid
   * @example
   * await client.queues.clear('reports', { key: 'tenant-7', reason: 'tenant left' });
   */
  async clear(name: string, options: ClearOptions = {}): Promise<number> {
    assertOutsideRun('queues.clear');
    const queue = checkText(name, 'name');
    const { key, ...audit } = checkOptions(options, 'options', ['key', 'actor', 'reason']);
    const wanted = key === undefined ? null : checkText(key, 'options.key');
    let count = 0;
    for (let after = ''; ;) {
      const ids = await listQueued(this.#dependencies.database, queue, wanted, after, CLEARED_AT_ONCE);
      await Promise.all(ids.map((id) => this.#cancel(id, audit)));
      count += ids.length;
      if (ids.length < CLEARED_AT_ONCE) return count;
      after = ids.at(-1)!;
    }
  }

  /** Lets the runs of the queue follow its limits now. Other processes notice within a second. */
  async #follow(queue: string, isLimited: boolean): Promise<void> {
    const { database } = this.#dependencies;
    if (isLimited) await adoptFirst(database, queue);
    await refreshKnownQueues(database);
    await this.#dependencies.admit(queue);
  }
}

const EMPTY: QueueRow = {
  name: '',
  declared: null,
  override: null,
  isPaused: false,
  waiting: 0,
  places: 0,
  suspendedPlaces: 0,
  concurrency: null,
  oldestAt: null,
};

function toDescription({ name, declared, override, isPaused, waiting, places, suspendedPlaces, oldestAt }: QueueRow): QueueDescription {
  const parse = (json: string | null): QueueOptions | undefined => (json === null ? undefined : (JSON.parse(json) as QueueOptions));
  const source = override !== null ? 'override' : declared !== null ? 'options' : 'none';
  return {
    name,
    limits: parse(override) ?? parse(declared) ?? {},
    source,
    declared: parse(declared),
    paused: isPaused,
    waiting,
    oldestSince: oldestAt === null ? undefined : new Date(oldestAt),
    places,
    suspendedPlaces,
  };
}
