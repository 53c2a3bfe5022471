import { checkOptions } from '../../core/check-options.js';
import {
  InvalidInputError,
  RunEndedError,
  RunNotFoundError,
  StepFailedError,
  WorkflowCancelledError,
  WorkflowTerminatedError,
} from '../../core/errors/index.js';
import { checkText, newNonce, newRunId } from '../../core/ids.js';
import { checkStepKey, mayBeEscaped } from '../../core/step-key-format.js';
import { isTerminal, type DueRun } from '../../core/run.js';
import { announce } from '../../core/run-notices.js';
import { sendWithin, tracer } from '../../core/tracing.js';
import type { StepRecord } from '../../core/step.js';
import { cancelInTransaction, sendCancel, sendCancelInTransaction, type CancelSent } from '../../store/sql/cancel-run.js';
import { endRuns } from '../../store/sql/end-runs.js';
import { forkRun, type RunFork } from '../../store/sql/fork-run.js';
import { resumeRun, sendPause } from '../../store/sql/pause-run.js';
import { readRunStatus } from '../../store/sql/read-runs.js';
import { readStep, wasCancelledBefore } from '../../store/sql/read-steps.js';
import { sendResolution } from '../../store/sql/resolve-step.js';
import type { WhileLocked } from '../../store/row-lock-queues.js';
import { deleteRun } from './delete-run.js';
import { notifyOfEnd } from './notify-of-end.js';
import { callerError } from '../transactions/caller-errors.js';
import type { CallerTransactions, JoinedTransaction } from '../transactions/caller-transactions.js';
import { checkFollowing } from '../follow-options.js';
import { currentRunId, onCurrentRun, runNotFound } from '../follow.js';
import { readRetryable, retryOnce } from './retry.js';
import { findStepKey, recordedStepKey } from './step-key.js';
import type { ClientDependencies } from '../dependencies.js';
import {
  AUDIT_KEYS,
  noteOf,
  type AuditOptions,
  type CancelOptions,
  type ForkOptions,
  type RetryRunOptions,
  type StepResult,
} from './control-options.js';

/**
 * Changes runs on behalf of operators.
 *
 * @internal
 */
export class Control {
  constructor(
    private readonly dependencies: ClientDependencies,
    private readonly transactions: CallerTransactions,
  ) {}

  async cancel(runId: string, options: CancelOptions): Promise<void> {
    const id = checkText(runId, 'runId');
    const given = checkOptions(options, 'options', [...AUDIT_KEYS, 'manager']);
    const note = noteOf(given);
    const { database, payloads, notifier } = this.dependencies;
    const cancelled = payloads.encodeError(new WorkflowCancelledError(id, given.reason), id);
    const joined = this.transactions.find(given.manager);
    if (joined) return this.cancelIn(joined, id, note, cancelled);
    const sent = await sendCancel(database, id, note);
    if (!sent) throw await runNotFound(database, id);
    if (!isTerminal(sent.status)) await notifier.notifyOfCancel([{ runId: sent.id, error: cancelled, parentId: null }]);
  }

  /**
   * Ends the current run of a chain. If another run continues that run in the meantime, ends that
   * other run.
   */
  async terminate(runId: string, options: AuditOptions): Promise<void> {
    const named = checkText(runId, 'runId');
    const given = checkOptions(options, 'options', AUDIT_KEYS);
    const { database, payloads } = this.dependencies;
    await onCurrentRun(database, named, async (id) => {
      const error = payloads.encodeError(new WorkflowTerminatedError(id, given.reason), id);
      const ending = {
        status: 'cancelled',
        errorCode: 'TERMINATED',
        event: 'terminated',
        note: noteOf(given),
        which: 'any',
        whereLocked: 'fail',
      } as const;
      const [ended] = await database.rowLockQueues.inTurn(id, (whileLocked) =>
        whileLocked(() => endRuns(database, { ...ending, errors: new Map([[id, error]]) })),
      );
      if (ended) return notifyOfEnd(this.dependencies, this.dependencies.notifier, [ended]);
      throw (await readRunStatus(database, id)) === undefined ? new RunNotFoundError(id) : new RunEndedError(id);
    });
  }

  async delete(runId: string, options: AuditOptions): Promise<void> {
    const id = checkText(runId, 'runId');
    const given = checkOptions(options, 'options', AUDIT_KEYS);
    const { actor, reason } = JSON.parse(noteOf(given)) as AuditOptions;
    const count = await deleteRun(this.dependencies.database, id);
    const by = actor === undefined ? '' : ` by ${actor}`;
    const why = reason === undefined ? '' : `: ${reason}`;
    this.dependencies.log(`run "${id}" was deleted${by}${why}`, { runId: id, count });
  }

  async pause(runId: string, options: AuditOptions): Promise<void> {
    const note = noteOf(checkOptions(options, 'options', AUDIT_KEYS));
    await onCurrentRun(this.dependencies.database, checkText(runId, 'runId'), (id) => this.pauseRun(id, note));
  }

  private async pauseRun(id: string, note: string): Promise<void> {
    const status = await sendPause(this.dependencies.database, id, note);
    if (!status) throw new RunNotFoundError(id);
    if (isTerminal(status)) throw new RunEndedError(id);
    await this.dependencies.notifier.notifyOfPause(id);
  }

  async resume(runId: string, options: AuditOptions): Promise<void> {
    const note = noteOf(checkOptions(options, 'options', AUDIT_KEYS));
    await onCurrentRun(this.dependencies.database, checkText(runId, 'runId'), (id) => this.resumeRun(id, note));
  }

  private async resumeRun(id: string, note: string): Promise<void> {
    const { database } = this.dependencies;
    const run = await database.rowLockQueues.inTurn(id, (whileLocked) => whileLocked(() => resumeRun(database, id, note)));
    if (run) return run.wakeAt === null ? announce(this.dependencies, [run]) : this.dependencies.due([{ ...run, wakeAt: run.wakeAt }]);
    throw (await readRunStatus(database, id)) === undefined ? new RunNotFoundError(id) : new RunEndedError(id);
  }

  async retry(runId: string, options: RetryRunOptions): Promise<void> {
    const named = checkText(runId, 'runId');
    const { fromStep, ...who } = checkOptions(options, 'options', [...AUDIT_KEYS, 'fromStep']);
    const wanted = fromStep === undefined ? undefined : checkStepKey(fromStep, 'options.fromStep');
    const note = noteOf(who);
    const { database, payloads } = this.dependencies;
    const id = await currentRunId(database, named, {});
    const retried = await database.rowLockQueues.inTurn(id, async (whileLocked) => {
      const retryable = await readRetryable(database, payloads, id, wanted);
      return retryOnce(database, whileLocked, { ...retryable, note });
    });
    await this.dependencies.due([retried]);
  }

  /**
   * Starts a new run from the input and the recorded steps of another run.
   *
   * @returns the id of the new run
   */
  async fork(runId: string, options: ForkOptions): Promise<string> {
    const named = checkText(runId, 'runId');
    const { fromStep, follow, ...who } = checkOptions(options, 'options', [...AUDIT_KEYS, 'fromStep', 'follow']);
    const wanted = fromStep === undefined ? null : checkStepKey(fromStep, 'options.fromStep');
    const newId = newRunId();
    const { database, deploymentId } = this.dependencies;
    const id = await currentRunId(database, named, { follow: checkFollowing(follow) });
    const fork = {
      runId: id,
      newId,
      fromStep: wanted,
      nonce: newNonce(),
      deploymentId,
      note: noteOf(who, { to: newId }),
      noteOfNew: noteOf(who, { from: id }),
    };
    return tracer
      ? sendWithin(tracer.send('fork', newId), (traceContext) => this.createFork({ ...fork, traceContext }))
      : this.createFork(fork);
  }

  private async createFork(fork: RunFork): Promise<string> {
    const { database } = this.dependencies;
    const { runId, newId, fromStep } = fork;
    let key = await forkRun(database, fork);
    if (key === 'noStep') {
      key = await forkRun(database, { ...fork, fromStep: await recordedStepKey(database, runId, fromStep!, 'options.fromStep') });
    }
    if (typeof key === 'object' && 'undone' in key)
      throw new InvalidInputError(
        'options.fromStep',
        `comes after step "${key.undone}", which was undone or is to be undone: fork from that step, or an earlier one`,
      );
    if (key === 'noRun') throw new RunNotFoundError(runId);
    if (key === 'noStep') throw new InvalidInputError('options.fromStep', `names no recorded step of the run: "${fromStep}"`);
    this.dependencies.metrics.runStarted(key.name);
    await this.dependencies.due([{ id: newId, ...key }]);
    return newId;
  }

  async resolveStep(runId: string, stepKey: string, result: StepResult, options: AuditOptions): Promise<void> {
    const named = checkText(runId, 'runId');
    const key = checkStepKey(stepKey, 'stepKey');
    if (/^\$(cancel$|timeout$|patch:|compensating$|compensated$)/.test(key))
      throw new InvalidInputError('stepKey', `is no step of the workflow: "${key}"`);
    const note = noteOf(checkOptions(options, 'options', AUDIT_KEYS));
    const given = checkOptions<{ output?: unknown; error?: unknown }>(result, 'result', ['output', 'error']);
    if (Object.keys(given).length !== 1) throw new InvalidInputError('result', 'must have either an output or an error');
    await onCurrentRun(this.dependencies.database, named, (id) => this.resolveStepOf(id, key, given, note));
  }

  private async resolveStepOf(id: string, wanted: string, given: { output?: unknown; error?: unknown }, note: string): Promise<void> {
    const { database, payloads } = this.dependencies;
    const isError = 'error' in given;
    const key = (mayBeEscaped(wanted) && (await findStepKey(database, id, wanted, 'stepKey'))) || wanted;
    const payload = isError ? payloads.encodeError(given.error, id) : payloads.encode(given.output, 'result.output', id, 'output');
    const found = await sendResolution(database, { runId: id, stepKey: key, kind: isError ? 'resolve_failed' : 'resolve', payload, note });
    if (!found) throw new RunNotFoundError(id);
    if (found.status === 'failed') return this.resolveFailed(id, key, given, note);
    if (isTerminal(found.status)) throw new RunEndedError(id);
    if (found.isRecorded) throw new InvalidInputError('stepKey', `names a step that already has its result: "${key}"`);
    await this.dependencies.notifier.notify([id]);
  }

  /** Replaces the recorded result of a failed run's step, and retries the run from this step. */
  private async resolveFailed(id: string, key: string, result: { output?: unknown; error?: unknown }, note: string): Promise<void> {
    const { rowLockQueues } = this.dependencies.database;
    const retried = await rowLockQueues.inTurn(id, (whileLocked) => this.retryWith(id, key, result, note, whileLocked));
    await this.dependencies.due([retried]);
  }

  private async retryWith(
    id: string,
    key: string,
    result: { output?: unknown; error?: unknown },
    note: string,
    whileLocked: WhileLocked,
  ): Promise<DueRun> {
    const { database, payloads } = this.dependencies;
    const step = await readStep(database, id, await recordedStepKey(database, id, key, 'stepKey'));
    if (!step) throw new InvalidInputError('stepKey', `names no recorded step of the run: "${key}"`);
    const { generation } = await readRetryable(database, payloads, id, key);
    if (step.kind !== 'compensation' && (await wasCancelledBefore(database, id, step)))
      throw new InvalidInputError('stepKey', `names a step that was recorded after the run was asked to stop: "${key}"; use retry`);
    const error =
      step.kind === 'step' || step.kind === 'compensation' ? new StepFailedError(key, step.attempts, result.error) : result.error;
    const replacement: StepRecord =
      'error' in result
        ? { ...step, status: 'failed', output: null, error: payloads.encodeError(error, id) }
        : { ...step, status: 'completed', output: payloads.encode(result.output, 'result.output', id, 'output'), error: null };
    return retryOnce(database, whileLocked, { runId: id, generation, fromStep: key, note, replacement });
  }

  private async cancelIn(joined: JoinedTransaction, id: string, note: string, cancelled: string): Promise<void> {
    const { database } = this.dependencies;
    const { manager, transaction, argument } = joined;
    await this.transactions.verify(joined);
    let sent: CancelSent | undefined;
    const isOwn = transaction.holds(id);
    let name: string | undefined;
    try {
      sent = await sendCancelInTransaction(database, manager, id, note);
      if (isOwn && sent && !isTerminal(sent.status)) name = await cancelInTransaction(database, manager, id, cancelled);
    } catch (error) {
      throw callerError(error, [id], argument);
    }
    if (sent === undefined) throw await runNotFound(database, id);
    const seen = sent;
    if (isTerminal(seen.status)) return;
    transaction.afterCommit(() => {
      if (isOwn) return this.dependencies.endedElsewhere(name === undefined ? [] : [{ id, name, status: 'cancelled' }]);
      void this.dependencies.notifier.notifyOfCancel([{ runId: seen.id, error: cancelled, parentId: null }]);
    });
  }
}
