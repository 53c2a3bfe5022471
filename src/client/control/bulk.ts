import { checkOptions } from '../../core/check-options.js';
import { toDate } from '../../core/duration.js';
import { InvalidInputError } from '../../core/errors/index.js';
import { checkText, newRunId } from '../../core/ids.js';
import { isTerminal, RUN_STATUSES, type RunStatus, type ShownStatus } from '../../core/run.js';
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
import { ACTOR_KEYS, noteOf, type AuditOptions } from './control.js';
import { assertOutsideRun } from '../assert-outside-run.js';
import { checkRunFilter, type RunFilter } from '../queries/run-filter.js';
import type { ClientDependencies } from '../dependencies.js';

/** Which runs are meant: counted first, and nothing is done. */
export interface BulkDryRun extends AuditOptions {
  /** Never an empty one. Runs that it could do nothing to do not count. */
  filter: RunFilter;
  dryRun: true;
}

/** The same, with what is sent to them. */
export type BulkSignalDryRun<Sent> = BulkDryRun & { signal: SignalDefinition<unknown, Sent> } & (Sent extends void
    ? { payload?: undefined }
    : { payload: Sent });

/** What has been counted is to be done. */
export interface BulkStart {
  /** Of the dry run; good for a day. */
  token: string;
  /** The most runs per second. Without one as fast as it goes. */
  rate?: number;
}

/** What a dry run has found. */
export interface BulkPreview {
  count: number;
  token: string;
}

/** How far a bulk operation is. */
export interface BulkStatus {
  token: string;
  kind: 'cancel' | 'terminate' | 'retry' | 'signal';
  state: 'counted' | 'running' | 'completed' | 'stopped';
  /** How many runs the dry run counted. */
  count: number;
  /** To how many runs it has been done; of `cancel`, how many have been asked to stop. */
  done: number;
  /** How many were no longer as they had to be when it came to them; of `cancel`, also those that nobody can execute. */
  skipped: number;
  /**
   * How many runs wait because somebody has locked their rows: of `retry` and `terminate`. They are tried again each second, and the operation
   * is `running` until all are done or skipped, or it is stopped.
   */
  locked: number;
  /** The most runs per second. */
  rate: number | undefined;
  createdAt: Date;
  startedAt: Date | undefined;
  finishedAt: Date | undefined;
}

const DRY_RUN_KEYS = ['filter', 'dryRun', ...ACTOR_KEYS];
const MAX_RATE = 1_000_000;

/** What an operation can be done to. */
const STATUSES: Readonly<Record<OperationKind, readonly RunStatus[]>> = {
  cancel: RUN_STATUSES.filter((status) => !isTerminal(status)),
  terminate: RUN_STATUSES.filter((status) => !isTerminal(status)),
  signal: RUN_STATUSES.filter((status) => !isTerminal(status)),
  retry: ['failed'],
};

/**
 * Does something to many runs: `client.bulk`. First a dry run, which counts them and gives a token; then the token, upon which workers do it, also when this process
 * is gone. Each run that meets the filter when its turn comes, and was there at the dry run, is come to once.
 *
 * @example
 * const { count, token } = await client.bulk.retry({ filter: { name: 'order', errorCode: 'CARD_DECLINED' }, dryRun: true, actor: 'ann' });
 * if (count < 1_000) await client.bulk.retry({ token, rate: 20 });
 */
export class BulkOperations {
  readonly #dependencies: ClientDependencies;

  /** @internal */
  constructor(dependencies: ClientDependencies) {
    this.#dependencies = dependencies;
  }

  /**
   * Cancels runs, as `client.cancel` does: each is asked to stop, and its code cleans up. A run that nobody can
   * execute counts as `skipped`: it is asked all the same, and stays as it is until somebody can execute it. `client.bulk.terminate` ends such runs.
   *
   * @throws InvalidInputError, QueryTimeoutError
   */
  cancel(options: BulkDryRun): Promise<BulkPreview>;
  cancel(options: BulkStart): Promise<BulkStatus>;
  cancel(options: BulkDryRun | BulkStart): Promise<BulkPreview | BulkStatus> {
    return this.#do('cancel', options, []);
  }

  /**
   * Ends runs without their code, as `client.terminate` does: for those that nobody can execute, and for which `cancel` would wait in vain.
   *
   * @throws InvalidInputError, QueryTimeoutError
   */
  terminate(options: BulkDryRun): Promise<BulkPreview>;
  terminate(options: BulkStart): Promise<BulkStatus>;
  terminate(options: BulkDryRun | BulkStart): Promise<BulkPreview | BulkStatus> {
    return this.#do('terminate', options, []);
  }

  /**
   * Retries failed runs, as `client.retry` does: each from the step that it failed of.
   *
   * @throws InvalidInputError, QueryTimeoutError
   */
  retry(options: BulkDryRun): Promise<BulkPreview>;
  retry(options: BulkStart): Promise<BulkStatus>;
  retry(options: BulkDryRun | BulkStart): Promise<BulkPreview | BulkStatus> {
    return this.#do('retry', options, []);
  }

  /**
   * Sends runs a signal, each once.
   *
   * @throws InvalidInputError, SerializationError, PayloadTooLargeError, QueryTimeoutError
   */
  signal<Sent>(options: BulkSignalDryRun<Sent>): Promise<BulkPreview>;
  signal(options: BulkStart): Promise<BulkStatus>;
  signal(options: BulkDryRun | BulkStart): Promise<BulkPreview | BulkStatus> {
    return this.#do('signal', options, ['signal', 'payload']);
  }

  /** How far an operation is. @throws InvalidInputError when there is none of that token */
  async status(token: string): Promise<BulkStatus> {
    return this.#status(checkText(token, 'token'), 'token');
  }

  /**
   * Ends an operation before it is done: what it has come to stays as it is, and it comes to no further run. One that has only been counted cannot be started any more.
   *
   * @throws InvalidInputError when there is none of that token
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
      throw new InvalidInputError('options.dryRun', 'must be true: what it would do is counted first, and the token does it');
    if ('rate' in given) throw new InvalidInputError('options.rate', 'belongs to the call with the token');
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
    if (found.kind !== kind) throw new InvalidInputError('options.token', `is of a dry run of bulk.${found.kind}`);
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
    if (!row) throw new InvalidInputError(argument, 'is of no bulk operation, or of a dry run of more than a day ago');
    const { kind, matched, done, skipped, locked, rate, createdAt, startedAt, finishedAt, isStopped } = row;
    const state = isStopped ? 'stopped' : startedAt === null ? 'counted' : finishedAt === null ? 'running' : 'completed';
    const times = { createdAt: new Date(createdAt), startedAt: toDate(startedAt), finishedAt: toDate(finishedAt) };
    return { token, kind, state, count: matched, done, skipped, locked, rate: rate ?? undefined, ...times };
  }
}

/** An empty filter would mean every run there is. */
function toConditions(kind: OperationKind, filter: unknown): RunConditions {
  const conditions = checkRunFilter(filter, 'options.filter', 'refused');
  if (Object.keys(conditions).length === 0) throw new InvalidInputError('options.filter', 'is empty, which must not mean every run');
  const possible = STATUSES[kind];
  const status = conditions.status?.filter((wanted) => (possible as readonly ShownStatus[]).includes(wanted)) ?? possible;
  if (status.length === 0) throw new InvalidInputError('options.filter.status', `must be one of ${possible.join(', ')} for bulk.${kind}`);
  return { ...conditions, status };
}
