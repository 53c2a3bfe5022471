import { checkOptions } from '../core/check-options.js';
import { InvalidInputError, WorkflowConfigurationError } from '../core/errors/index.js';
import { checkText } from '../core/ids.js';
import type { Database } from '../store/database.js';
import { readWakeUps } from '../store/sql/outbox.js';
import { checkLimit } from './queries/cursor.js';
import { assertOutsideRun } from './assert-outside-run.js';

/** A message that QStash could not deliver and does not try again. */
export interface DeadLetter {
  /** Id of the message in QStash, for `redrive`. */
  id: string;
  /**
   * Id of the run that the message was to wake. Null when this version cannot read the message
   * body.
   */
  runId: string | null;
  /** Queue of that run. Null when this version cannot read the message body. */
  queue: string | null;
  /** HTTP status of the application's last response. Null when the application did not respond. */
  responseStatus: number | null;
  /** Moment at which the message was published. */
  createdAt: Date;
}

/** A page of dead letters. */
export interface DeadLetterPage {
  /** Dead letters of the page. */
  deadLetters: DeadLetter[];
  /** Cursor of the next page. Undefined on the last page. */
  cursor?: string | undefined;
}

/** Access to a transport's dead letters. */
export interface DeadLetterStore {
  deadLetters(cursor: string | undefined, limit: number): Promise<DeadLetterPage>;
  /** Delivers messages again. Returns the number of messages that still existed. */
  redriveDeadLetters(ids: readonly string[]): Promise<number>;
  deleteDeadLetters(ids: readonly string[]): Promise<void>;
}

const MAX_PAGE_MESSAGES = 100;

/**
 * Messages that QStash could not deliver and does not try again. Their runs are not lost: a regular
 * sweep publishes new messages for these runs. See docs/qstash.md.
 */
export class DeadLetters {
  readonly #database: Database;
  readonly #store: DeadLetterStore | undefined;

  /** @internal */
  constructor(database: Database, store: DeadLetterStore | undefined) {
    this.#database = database;
    this.#store = store;
  }

  /**
   * Lists the dead letters of this application, one page at a time.
   *
   * @param options.cursor the `cursor` of the previous page (default: the first page)
   * @param options.limit messages per page, from 1 to 100 (default: 100)
   * @throws InvalidInputError when an option is invalid
   * @throws WorkflowConfigurationError with `transport: 'poll'`
   * @throws the errors of the QStash SDK
   * @example
   * const { deadLetters, cursor } = await client.deadLetters.list();
   */
  async list(options: { cursor?: string; limit?: number } = {}): Promise<DeadLetterPage> {
    const { cursor, limit } = checkOptions(options, 'options', ['cursor', 'limit']);
    const size = checkLimit(limit, 'options.limit', MAX_PAGE_MESSAGES, MAX_PAGE_MESSAGES);
    return this.#configuredStore.deadLetters(cursor === undefined ? undefined : checkText(cursor, 'options.cursor'), size);
  }

  /**
   * Asks QStash to deliver dead letters again. Without ids, processes all dead letters of this
   * application: delivers a message again if its run is due or has a wake time, and deletes it
   * otherwise.
   *
   * @param ids ids of dead letters, from `list` (default: all dead letters of this application)
   * @returns the number of messages delivered again, and the number of messages deleted
   * @throws the errors of `list`
   * @example
   * await client.deadLetters.redrive();
   */
  async redrive(ids?: readonly string[]): Promise<{ redriven: number; deleted: number }> {
    assertOutsideRun('deadLetters.redrive');
    const store = this.#configuredStore;
    if (ids === undefined) return this.#redriveAll(store);
    if (!Array.isArray(ids)) throw new InvalidInputError('ids', 'must be an array');
    const checked = [...new Set(ids.map((id, index) => checkText(id, `ids[${index}]`)))];
    let redriven = 0;
    for (let from = 0; from < checked.length; from += MAX_PAGE_MESSAGES)
      redriven += await store.redriveDeadLetters(checked.slice(from, from + MAX_PAGE_MESSAGES));
    return { redriven, deleted: 0 };
  }

  async #redriveAll(store: DeadLetterStore): Promise<{ redriven: number; deleted: number }> {
    const seen = new Set<string>();
    const done = { redriven: 0, deleted: 0 };
    for (;;) {
      // Redriven and deleted messages disappear from the list, so the first page always shows the
      // messages that are left. Ids in `seen` are skipped. Otherwise a message that fails again
      // would be redriven without end.
      const page = (await store.deadLetters(undefined, MAX_PAGE_MESSAGES)).deadLetters.filter(({ id }) => !seen.has(id));
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
    if (!this.#store) throw new WorkflowConfigurationError("dead letters exist only with transport 'qstash' or 'both'");
    return this.#store;
  }
}
