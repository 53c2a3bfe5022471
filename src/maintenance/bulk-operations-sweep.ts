import { retryOf } from '../client/control/retry.js';
import { RunNotFoundError, RunNotRetryableError, WorkflowCancelledError, WorkflowTerminatedError } from '../core/errors/index.js';
import type { Payloads } from '../core/payloads.js';
import { isTerminal, type DueRun } from '../core/run.js';
import type { Database } from '../store/database.js';
import { faultOf } from '../store/database-errors.js';
import type { RunNotifier } from '../store/run-notifier.js';
import { sendCancel } from '../store/sql/cancel-run.js';
import { endRuns, findUnexecutable, type EndedRun } from '../store/sql/end-runs.js';
import { deletePart } from '../store/whole-deletion.js';
import { doPart, findUnreached, nextPart, type OperationPart, type PartClient, type PartDone } from '../store/sql/bulk-operation-parts.js';
import { listUnfinished, type UnfinishedOperation } from '../store/sql/bulk-operations.js';
import { retryRun, type RunRetry } from '../store/sql/retry-run.js';
import { sendSignal } from '../store/sql/send-signal.js';
import type { Sweep } from './sweep.js';

const SWEEP_EVERY_MS = 1_000;
/** Maximum number of runs in one part of a bulk operation. One transaction handles one part. */
const MAX_PART_RUNS = 100;

export interface BulkOperationsOptions {
  /** Called when retried runs have become due. */
  readonly due: (runs: readonly DueRun[]) => void;
  /** Called when an operation has ended runs without executing their code. */
  readonly ended: (runs: readonly EndedRun[]) => Promise<void>;
  readonly failed: (error: unknown) => void;
}

/** Sends notifications about the runs of a part. Called once the part is committed. */
type Announcement = () => Promise<void>;

/**
 * Executes bulk operations in parts of several runs. Every process has this sweep; the fastest
 * process does the next part. After a crash, another process continues after the last committed
 * part.
 */
export class BulkOperationsSweep implements Sweep {
  readonly failure = 'sweep: could not continue bulk operations';
  readonly everyMs = SWEEP_EVERY_MS;

  constructor(
    private readonly database: Database,
    private readonly payloads: Payloads,
    private readonly notifier: RunNotifier,
    private readonly options: BulkOperationsOptions,
  ) {}

  /**
   * Does the next part of each operation that is due. Returns the milliseconds until the next part
   * is due.
   */
  async run(signal: AbortSignal): Promise<number | undefined> {
    let next: number | undefined;
    for (const operation of await listUnfinished(this.database)) {
      if (signal.aborted) return next;
      let dueInMs = operation.dueInMs;
      try {
        if (dueInMs <= 0) dueInMs = await this.doNext(operation);
      } catch (error) {
        // Continue with the next operation: an operation that fails must not delay the others.
        this.options.failed(error);
        continue;
      }
      next = Math.min(next ?? dueInMs, dueInMs);
    }
    return next;
  }

  private async doNext(operation: UnfinishedOperation): Promise<number> {
    for (let most = MAX_PART_RUNS; ;) {
      const part = await nextPart(this.database, operation, most);
      try {
        return await this.doPart(operation, part);
      } catch (error) {
        // The database refuses one of the runs. Smaller parts find that run, which is then left
        // out.
        if (faultOf(error) !== 'data' || part.ids.length === 0) throw error;
        if (part.ids.length === 1) return this.leaveOut(operation, part, error);
        most = Math.ceil(part.ids.length / 2);
      }
    }
  }

  private async leaveOut(operation: UnfinishedOperation, part: OperationPart, error: unknown): Promise<number> {
    this.database.unwritable.refused(`bulk ${operation.kind}`, part.ids[0]!, error);
    await doPart(this.database, operation, part, async () => ({ done: 0, skipped: 1, locked: [] }));
    return part.pauseMs;
  }

  private async doPart(operation: UnfinishedOperation, part: OperationPart): Promise<number> {
    const prepared = await this.prepare(operation, part.ids);
    let announce: Announcement | undefined;
    const isMine = await doPart(this.database, operation, part, async (client) => {
      const { announce: later, ...done } = await prepared(client);
      announce = later;
      return done;
    });
    // If a notification fails here, the sweeps will send it later.
    if (isMine) await announce?.().catch((error: unknown) => this.options.failed(error));
    return part.pauseMs;
  }

  private async prepare(
    operation: UnfinishedOperation,
    ids: readonly string[],
  ): Promise<(client: PartClient) => Promise<PartDone & { announce: Announcement }>> {
    if (operation.kind === 'cancel') return (client) => this.cancel(operation, ids, client);
    if (operation.kind === 'terminate') return (client) => this.terminate(operation, ids, client);
    if (operation.kind === 'delete')
      return async (client) => ({ ...(await deletePart(this.database, ids, client)), announce: () => Promise.resolve() });
    if (operation.kind === 'signal') return (client) => this.signal(operation, ids, client);
    const retries: RunRetry[] = [];
    for (const id of ids) {
      const retry = await retryOf(this.database, this.payloads, id, operation.note).catch(unlessRetried);
      if (retry) retries.push(retry);
    }
    return (client) => this.retry(ids, retries, client);
  }

  private async cancel(
    { note }: UnfinishedOperation,
    ids: readonly string[],
    client: PartClient,
  ): Promise<PartDone & { announce: Announcement }> {
    const asked: string[] = [];
    for (const id of ids) {
      const sent = await sendCancel(this.database, id, note, client);
      if (sent && !isTerminal(sent.status)) asked.push(sent.id);
    }
    const { reason } = JSON.parse(note) as { reason?: string };
    const announce = (): Promise<void> =>
      this.notifier.notifyOfCancel(
        asked.map((id) => ({ runId: id, error: this.payloads.encodeError(new WorkflowCancelledError(id, reason), id), parentId: null })),
      );
    // A request to a run that no process can execute has no effect yet, so the run counts as
    // skipped.
    const inVain = await findUnexecutable(this.database, asked, client);
    const done = asked.length - inVain.length;
    return { done, skipped: ids.length - done, locked: [], announce };
  }

  private async terminate(
    { note }: UnfinishedOperation,
    ids: readonly string[],
    client: PartClient,
  ): Promise<PartDone & { announce: Announcement }> {
    const { reason } = JSON.parse(note) as { reason?: string };
    const errors = new Map(ids.map((id) => [id, this.payloads.encodeError(new WorkflowTerminatedError(id, reason), id)]));
    const ending = { status: 'cancelled', errorCode: 'TERMINATED', event: 'terminated', which: 'any', note } as const;
    const ended = await endRuns(this.database, { ...ending, errors, whereLocked: 'leave out' }, client);
    for (const { id } of ended) errors.delete(id);
    const locked = await findUnreached(this.database, [...errors.keys()], 'terminate', client);
    const skipped = ids.length - ended.length - locked.length;
    return { done: ended.length, skipped, locked, announce: () => this.options.ended(ended) };
  }

  private async signal(
    operation: UnfinishedOperation,
    ids: readonly string[],
    client: PartClient,
  ): Promise<PartDone & { announce: Announcement }> {
    const { token, signal, note } = operation;
    const sent: string[] = [];
    for (const runId of ids) {
      // The idempotency key contains the operation's token, so that the run's events show the
      // operation.
      const found = await sendSignal(this.database, { runId, ...signal!, idempotencyKey: `bulk:${token}`, note }, client);
      if (found?.isNew) sent.push(found.runId);
    }
    const announce = (): Promise<void> => this.notifier.notify(sent);
    return { done: sent.length, skipped: ids.length - sent.length, locked: [], announce };
  }

  private async retry(
    ids: readonly string[],
    retries: readonly RunRetry[],
    client: PartClient,
  ): Promise<PartDone & { announce: Announcement }> {
    const retried: DueRun[] = [];
    const unreached: string[] = [];
    for (const retry of retries) {
      const key = await retryRun(this.database, retry, client);
      if (key) retried.push({ id: retry.runId, ...key });
      else unreached.push(retry.runId);
    }
    const locked = await findUnreached(this.database, unreached, 'retry', client);
    return {
      done: retried.length,
      skipped: ids.length - retried.length - locked.length,
      locked,
      announce: async () => this.options.due(retried),
    };
  }
}

/**
 * Ignores the error of a run that was retried by another caller or has been deleted. Rethrows other
 * errors.
 */
function unlessRetried(error: unknown): undefined {
  if (!(error instanceof RunNotRetryableError || error instanceof RunNotFoundError)) throw error;
}
