import { checkOptions } from '../../core/check-options.js';
import { toDate } from '../../core/duration.js';
import { InvalidInputError } from '../../core/errors/index.js';
import { checkText, newRunId } from '../../core/ids.js';
import { isTerminal, RUN_STATUSES, type ShownStatus } from '../../core/run.js';
import type { RunConditions } from '../../core/run-filter.js';
import { checkSignal, type SignalDefinition } from '../../core/signal.js';
import { validate } from '../../core/standard-schema.js';
import { countRuns } from '../../store/sql/list-runs.js';
import {
  createOperation,
  readOperation,
  startOperation,
  stopOperation,
  type OperationKind,
  type OperationSignal,
} from '../../store/sql/bulk-operations.js';
import { AUDIT_KEYS, noteOf, type AuditOptions } from './control-options.js';
import { assertOutsideRun } from '../assert-outside-run.js';
import { checkRunFilter, type RunFilter } from '../queries/run-filter.js';
import type { ClientDependencies } from '../dependencies.js';

/** Options of a dry run. A dry run counts the runs and changes nothing. */
export interface BulkDryRun extends AuditOptions {
  /**
   * Selects the runs. An empty filter is refused. Runs that the operation cannot change in their
   * current status are not counted.
   */
  filter: RunFilter;
  /** Always `true`: the call only counts the runs. */
  dryRun: true;
}

/** Options of a dry run of `bulk.signal`, with the signal and its payload. */
export type BulkSignalDryRun<Sent> = BulkDryRun & { signal: SignalDefinition<unknown, Sent> } & (Sent extends void
    ? { payload?: undefined }
    : { payload: Sent });

/** Options of the call that starts the operation after its dry run. */
export interface BulkStart {
  /** Token that the dry run returned. A dry run's token is valid for one day. */
  token: string;
  /** Maximum number of runs per second, more than 0 and at most 1,000,000. (default: no limit) */
  rate?: number;
}

/** Result of a dry run. */
export interface BulkPreview {
  /** Number of runs that match the filter now. */
  count: number;
  /** Token that starts the operation. */
  token: string;
}

/** Progress of a bulk operation. */
export interface BulkStatus {
  /** Token of the operation. */
  token: string;
  /** Kind of the operation. */
  kind: 'cancel' | 'terminate' | 'retry' | 'signal' | 'delete';
  /**
   * `counted`: the operation has not been started. `running`: it changes runs. `completed`: all
   * runs are done or skipped. `stopped`: a call of `bulk.stop` has stopped it.
   */
  state: 'counted' | 'running' | 'completed' | 'stopped';
  /** Number of runs that the dry run counted. */
  count: number;
  /**
   * Number of runs that the operation has changed. For `cancel`, the number of runs that it has
   * asked to stop. For `delete`, the number of deleted runs, with those that were deleted together
   * with a matching run.
   */
  done: number;
  /**
   * Number of runs that no longer matched the filter when the operation reached them. For `cancel`,
   * also runs that no process can execute.
   */
  skipped: number;
  /**
   * Number of runs that `retry`, `terminate` or `delete` could not change yet, because another
   * transaction has locked their rows. The operation tries each of them again every second. It
   * stays `running` until each run is done or skipped, or until it is stopped.
   */
  locked: number;
  /** Maximum number of runs per second. Undefined when there is no limit. */
  rate: number | undefined;
  /** Moment of the dry run. */
  createdAt: Date;
  /** Moment at which the operation was started. Undefined before it. */
  startedAt: Date | undefined;
  /** Moment at which the operation completed or was stopped. Undefined before it. */
  finishedAt: Date | undefined;
}

const DRY_RUN_KEYS = ['filter', 'dryRun', ...AUDIT_KEYS];
const MAX_RATE = 1_000_000;

/** Statuses in which each operation can change a run. */
const STATUSES: Readonly<Record<OperationKind, readonly ShownStatus[]>> = {
  cancel: RUN_STATUSES.filter((status) => !isTerminal(status)),
  terminate: RUN_STATUSES.filter((status) => !isTerminal(status)),
  signal: RUN_STATUSES.filter((status) => !isTerminal(status)),
  retry: ['failed'],
  delete: ['completed', 'failed', 'cancelled', 'continued'],
};

/**
 * Operations on many runs: `client.bulk`. A dry run counts the runs and returns a token. A second
 * call with this token starts the operation. Workers then do the work, even after this process has
 * ended.
 *
 * The operation processes the runs that existed at the dry run, and that still match the filter
 * when the operation reaches them. It processes each of these runs once.
 *
 * @example
 * const filter = { name: 'order', errorCode: 'CARD_DECLINED' };
 * const { count, token } = await client.bulk.retry({ filter, dryRun: true, actor: 'ann' });
 * if (count < 1_000) await client.bulk.retry({ token, rate: 20 });
 */
export class BulkOperations {
  readonly #dependencies: ClientDependencies;

  /** @internal */
  constructor(dependencies: ClientDependencies) {
    this.#dependencies = dependencies;
  }

  /**
   * Cancels runs as `client.cancel` does: asks each run to stop, so that its code can clean up. A
   * run that no process can execute counts as `skipped`. Such a run stops as soon as a process can
   * execute it. To end such runs at once, use `bulk.terminate`.
   *
   * @throws InvalidInputError, QueryTimeoutError
   */
  cancel(options: BulkDryRun): Promise<BulkPreview>;
  cancel(options: BulkStart): Promise<BulkStatus>;
  cancel(options: BulkDryRun | BulkStart): Promise<BulkPreview | BulkStatus> {
    return this.#do('cancel', options, []);
  }

  /**
   * Ends runs without executing their code, as `client.terminate` does. Meant for runs that no
   * process can execute, on which `cancel` would have no effect.
   *
   * @throws InvalidInputError, QueryTimeoutError
   */
  terminate(options: BulkDryRun): Promise<BulkPreview>;
  terminate(options: BulkStart): Promise<BulkStatus>;
  terminate(options: BulkDryRun | BulkStart): Promise<BulkPreview | BulkStatus> {
    return this.#do('terminate', options, []);
  }

  /**
   * Retries failed runs as `client.retry` does: each run from the step that made it fail.
   *
   * @throws InvalidInputError, QueryTimeoutError
   */
  retry(options: BulkDryRun): Promise<BulkPreview>;
  retry(options: BulkStart): Promise<BulkStatus>;
  retry(options: BulkDryRun | BulkStart): Promise<BulkPreview | BulkStatus> {
    return this.#do('retry', options, []);
  }

  /**
   * Deletes ended runs as `client.delete` does: each with its chain and its ended children. Runs
   * that have not ended are not counted and stay; end them first with `bulk.terminate`. When the
   * operation has finished, its row no longer contains the filter.
   *
   * @throws InvalidInputError, QueryTimeoutError
   * @example
   * const filter = { tags: { customer: '42' } };
   * const { token } = await client.bulk.delete({ filter, dryRun: true, reason: 'erasure' });
   * await client.bulk.delete({ token });
   */
  delete(options: BulkDryRun): Promise<BulkPreview>;
  delete(options: BulkStart): Promise<BulkStatus>;
  delete(options: BulkDryRun | BulkStart): Promise<BulkPreview | BulkStatus> {
    return this.#do('delete', options, []);
  }

  /**
   * Sends a signal once to each run.
   *
   * @throws InvalidInputError, SerializationError, PayloadTooLargeError, QueryTimeoutError
   */
  signal<Sent>(options: BulkSignalDryRun<Sent>): Promise<BulkPreview>;
  signal(options: BulkStart): Promise<BulkStatus>;
  signal(options: BulkDryRun | BulkStart): Promise<BulkPreview | BulkStatus> {
    return this.#do('signal', options, ['signal', 'payload']);
  }

  /**
   * Returns the progress of an operation.
   *
   * @throws InvalidInputError when no operation has this token
   */
  async status(token: string): Promise<BulkStatus> {
    return this.#status(checkText(token, 'token'), 'token');
  }

  /**
   * Stops an operation. No further run is changed, and runs that were already changed stay as they
   * are. An operation that has not been started can no longer be started.
   *
   * @throws InvalidInputError when no operation has this token
   */
  async stop(token: string): Promise<BulkStatus> {
    assertOutsideRun('bulk.stop');
    await stopOperation(this.#dependencies.database, checkText(token, 'token'));
    return this.#status(token, 'token');
  }

  async #do(kind: OperationKind, options: object, more: readonly string[]): Promise<BulkPreview | BulkStatus> {
    assertOutsideRun(`bulk.${kind}`);
    const given = checkOptions<Record<string, unknown>>(options as Record<string, unknown>, 'options', [
      ...DRY_RUN_KEYS,
      ...more,
      'token',
      'rate',
    ]);
    if ('token' in given) return this.#start(kind, checkOptions(given, 'options', ['token', 'rate']));
    if (given['dryRun'] !== true)
      throw new InvalidInputError('options.dryRun', 'must be true: a dry run counts the runs first, and its token starts the operation');
    if ('rate' in given) throw new InvalidInputError('options.rate', 'is an option of the call with the token, not of the dry run');
    const conditions = toConditions(kind, given['filter']);
    const note = noteOf(given);
    const token = newRunId();
    const signal = kind === 'signal' ? await this.#signalOf(given, token) : null;
    const { database } = this.#dependencies;
    const matched = await countRuns(database, conditions);
    await createOperation(database, { token, kind, conditions, signal, note, matched });
    return { count: matched, token };
  }

  async #start(kind: OperationKind, given: Readonly<Record<string, unknown>>): Promise<BulkStatus> {
    const token = checkText(given['token'], 'options.token');
    const { rate } = given;
    if (rate !== undefined && !(typeof rate === 'number' && rate > 0 && rate <= MAX_RATE))
      throw new InvalidInputError('options.rate', 'must be a number of runs per second, more than 0 and at most 1,000,000');
    const found = await this.#status(token, 'options.token');
    if (found.kind !== kind) throw new InvalidInputError('options.token', `belongs to a dry run of bulk.${found.kind}`);
    await startOperation(this.#dependencies.database, token, kind, rate ?? null);
    return this.#status(token, 'options.token');
  }

  async #signalOf(given: Readonly<Record<string, unknown>>, token: string): Promise<OperationSignal> {
    const { name, schema } = checkSignal(given['signal'], 'options.signal');
    const value = schema ? await validate(schema, given['payload'], 'options.payload') : given['payload'];
    const payload = value === undefined ? true : value;
    return { name, payload: this.#dependencies.payloads.encode(payload, 'options.payload', token, 'message') };
  }

  async #status(token: string, argument: string): Promise<BulkStatus> {
    const row = await readOperation(this.#dependencies.database, token);
    if (!row)
      throw new InvalidInputError(
        argument,
        'belongs to no bulk operation, to a dry run that is more than a day old, or to an operation that finished 30 days ago',
      );
    const { kind, matched, done, skipped, locked, rate, createdAt, startedAt, finishedAt, isStopped } = row;
    const state = isStopped ? 'stopped' : startedAt === null ? 'counted' : finishedAt === null ? 'running' : 'completed';
    const times = { createdAt: new Date(createdAt), startedAt: toDate(startedAt), finishedAt: toDate(finishedAt) };
    return { token, kind, state, count: matched, done, skipped, locked, rate: rate ?? undefined, ...times };
  }
}

/** Checks the filter of an operation. Refuses an empty filter, which would select every run. */
function toConditions(kind: OperationKind, filter: unknown): RunConditions {
  const conditions = checkRunFilter(filter, 'options.filter', 'refused');
  if (Object.keys(conditions).length === 0) throw new InvalidInputError('options.filter', 'is empty, which would select every run');
  const possible = STATUSES[kind];
  const status = conditions.status?.filter((wanted) => possible.includes(wanted)) ?? possible;
  if (status.length === 0) throw new InvalidInputError('options.filter.status', `must be one of ${possible.join(', ')} for bulk.${kind}`);
  return { ...conditions, status };
}
