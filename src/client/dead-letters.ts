import { checkOptions } from '../core/check-options.js';
import { InvalidInputError, WorkflowConfigurationError } from '../core/errors/index.js';
import { checkText } from '../core/ids.js';
import type { Database } from '../store/database.js';
import { readWakeUps } from '../store/sql/outbox.js';
import { checkLimit } from './queries/cursor.js';
import { assertOutsideRun } from './assert-outside-run.js';

/** A message that QStash has given up on. */
export interface DeadLetter {
  /** In QStash: for `redrive`. */
  id: string;
  /** The run that it was to wake; null when its body is not of this version. */
  runId: string | null;
  queue: string | null;
  /** What the application answered at last; null when it did not. */
  responseStatus: number | null;
  createdAt: Date;
}

export interface DeadLetterPage {
  deadLetters: DeadLetter[];
  /** For the next page; undefined on the last. */
  cursor?: string | undefined;
}

/** Where dead letters are. */
export interface DeadLetterStore {
  deadLetters(cursor: string | undefined, limit: number): Promise<DeadLetterPage>;
  /** How many of them there were. */
  redriveDeadLetters(ids: readonly string[]): Promise<number>;
  deleteDeadLetters(ids: readonly string[]): Promise<void>;
}

const PAGE = 100;

/** Messages that QStash has given up on. Their runs do not depend on them: the sweep has told of those again. See docs/qstash.md. */
export class DeadLetters {
  readonly #database: Database;
  readonly #store: DeadLetterStore | undefined;

  /** @internal */
  constructor(database: Database, store: DeadLetterStore | undefined) {
    this.#database = database;
    this.#store = store;
  }

  /**
   * Those that were to be delivered to this application, a page at a time.
   *
   * @param options.limit how many, from 1 to 100. Default 100
   * @throws InvalidInputError; WorkflowConfigurationError with `transport: 'poll'`; what QStash's SDK throws
   * @example const { deadLetters, cursor } = await client.deadLetters.list();
   */
  async list(options: { cursor?: string; limit?: number } = {}): Promise<DeadLetterPage> {
    const { cursor, limit } = checkOptions(options, 'options', ['cursor', 'limit']);
    const size = checkLimit(limit, 'options.limit', PAGE, PAGE);
    return this.#configuredStore.deadLetters(cursor === undefined ? undefined : checkText(cursor, 'options.cursor'), size);
  }

  /**
   * Has QStash deliver them again. Without ids all of this application; those whose runs want nothing any more are deleted instead.
   *
   * @returns how many of either
   * @throws as `list` does
   * @example await client.deadLetters.redrive();
   */
  async redrive(ids?: readonly string[]): Promise<{ redriven: number; deleted: number }> {
    assertOutsideRun('deadLetters.redrive');
    const store = this.#configuredStore;
    if (ids === undefined) return this.#redriveAll(store);
    if (!Array.isArray(ids)) throw new InvalidInputError('ids', 'must be an array');
    const checked = [...new Set(ids.map((id, index) => checkText(id, `ids[${index}]`)))];
    let redriven = 0;
    for (let from = 0; from < checked.length; from += PAGE) redriven += await store.redriveDeadLetters(checked.slice(from, from + PAGE));
    return { redriven, deleted: 0 };
  }

  async #redriveAll(store: DeadLetterStore): Promise<{ redriven: number; deleted: number }> {
    const seen = new Set<string>();
    const done = { redriven: 0, deleted: 0 };
    for (;;) {
      // Always the first page: what has been dealt with is gone from it. What has died again meanwhile is left.
      const page = (await store.deadLetters(undefined, PAGE)).deadLetters.filter(({ id }) => !seen.has(id));
      if (page.length === 0) return done;
      const runIds = page.flatMap(({ runId }) => runId ?? []);
      const wanting = new Set((await readWakeUps(this.#database, [...new Set(runIds)])).map(({ runId }) => runId));
      const isWanted = ({ runId }: DeadLetter): boolean => runId !== null && wanting.has(runId);
      const wanted = page.filter(isWanted).map(({ id }) => id);
      const obsolete = page.filter((letter) => !isWanted(letter)).map(({ id }) => id);
      if (wanted.length > 0) done.redriven += await store.redriveDeadLetters(wanted);
      if (obsolete.length > 0) await store.deleteDeadLetters(obsolete);
      for (const { id } of page) seen.add(id);
      done.deleted += obsolete.length;
    }
  }

  get #configuredStore(): DeadLetterStore {
    if (!this.#store) throw new WorkflowConfigurationError("there are dead letters only with transport 'qstash' or 'both'");
    return this.#store;
  }
}
