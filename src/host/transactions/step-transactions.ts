import type { DataSource } from 'typeorm';

import { within } from '../../core/async.js';
import { FencedError, ReadOnlyTransactionError, TransactionalStepsError } from '../../core/errors/index.js';
import type { OwnedRun } from '../../core/run.js';
import type { StepResult } from '../../core/transition.js';
import { TransactionRepeat, type StepTransaction } from '../../engine/transaction-port.js';
import type { Database } from '../../store/database.js';
import { faultOf, mayHaveTakenEffect } from '../../store/database-errors.js';
import type { SessionFence } from '../../store/session-fence.js';
import { recordInTransaction } from '../../store/sql/record-in-transaction.js';
import { cancelBackend, type TransactionDefaults } from '../../store/sql/transaction-probes.js';
import type { StepTransactions } from '../../worker/worker-types.js';
import type { ModuleSettings } from '../settings.js';
import { findCommit } from './commit-lookup.js';
import { whileAway } from '../boot-retry.js';
import { proveOneDatabase } from './database-proof.js';
import { guardConnections } from './guard-connections.js';
import { withTransaction } from './open-transaction.js';
import { sqlStateOf } from './sql-state.js';
import { TransactionWatch } from './transaction-watch.js';

/** Milliseconds that the cancellation of a statement may take. */
const CANCEL_MS = 1_000;

/** SQLSTATE codes of conflicts with other transactions. */
const CONFLICTS: readonly (string | undefined)[] = ['40001', '40P01'];

/** Session under which a worker owns its runs. */
export interface TransactionSession {
  readonly fence: SessionFence | undefined;
  /** Called when the session has been taken over. */
  lost(id: string): void;
  /** Called when another server has answered. Resolves when the check of that server has ended. */
  moved(): Promise<void>;
}

/** Reason why the statement that records a step has recorded nothing. */
class NotRecorded extends Error {
  constructor(readonly why: 'moved' | 'no session' | 'not owned') {
    super(why);
  }
}

/** Transactions of one module on the application's DataSource. */
export class ApplicationTransactions {
  /** True when a registered step is transactional. The boot sets it. */
  areUsed = false;
  private proof: Promise<TransactionDefaults> | undefined;

  constructor(
    readonly database: Database,
    private readonly source: DataSource | undefined,
    readonly settings: Pick<ModuleSettings, 'runInTransaction' | 'currentTransaction' | 'pooler' | 'connection'>,
    private readonly boot: { readonly patienceMs: number; readonly warn: (message: string) => void },
  ) {}

  /** DataSource on which the transactions are executed. */
  get dataSource(): DataSource {
    return this.source!;
  }

  /**
   * Proves once that the application and the module use one database.
   *
   * @returns the settings of transactions of the application
   * @throws TransactionalStepsError
   */
  verify(): Promise<TransactionDefaults> {
    if (!this.proof && this.source) guardConnections(this.source);
    this.proof ??= proveOneDatabase(this.database, this.source, this.settings).catch((error: unknown) => {
      this.proof = undefined;
      throw error;
    });
    return this.proof;
  }

  /**
   * Proves the same at boot, if a registered step is transactional. Waits while the database cannot
   * be reached.
   *
   * @throws TransactionalStepsError, DatabaseUnavailableError
   */
  async verifyAtBoot(): Promise<void> {
    const { patienceMs, warn } = this.boot;
    if (this.areUsed) await whileAway(() => this.verify(), patienceMs, warn);
  }

  /** Returns the transactions of a worker's steps. */
  of(session: TransactionSession): StepTransactions {
    return { execute: (run, step) => new TransactionalExecution(this, session, run, step).execute() };
  }
}

/** One execution of the body of a transactional step. */
class TransactionalExecution {
  private readonly watch = new TransactionWatch();
  private result: StepResult | undefined;
  /** True once the body was called. */
  private hasBegun = false;

  constructor(
    private readonly owner: ApplicationTransactions,
    private readonly session: TransactionSession,
    private readonly run: OwnedRun,
    private readonly step: StepTransaction,
  ) {}

  async execute(): Promise<StepResult> {
    const { owner, step, watch } = this;
    const defaults = await owner.verify();
    const { isolation, timeoutMs } = step;
    try {
      await withTransaction(owner.dataSource, owner.settings, { isolation, timeoutMs, defaults }, watch, async (manager) => {
        try {
          // The attempt may have ended while the pool had no connection.
          step.signal.throwIfAborted();
          this.hasBegun = true;
          this.result = await this.untilAborted(step.body(manager));
          watch.bodyEnded();
          await this.record(this.result);
          step.beginCommit();
        } catch (error) {
          watch.rollsBack();
          throw error;
        }
      });
      if (!watch.isCommitted) throw new TransactionalStepsError('no-manager');
    } catch (error) {
      await this.failed(error);
    }
    return this.result!;
  }

  /** Settles as the body does, or rejects when the attempt is aborted. */
  private untilAborted<T>(body: Promise<T>): Promise<T> {
    const { signal } = this.step;
    return new Promise<T>((resolve, reject) => {
      const aborted = (): void => {
        this.watch.rollsBack();
        void this.cancelStatement().finally(() => reject(signal.reason as Error));
      };
      if (signal.aborted) aborted();
      else signal.addEventListener('abort', aborted, { once: true });
      void body.then(resolve, reject).finally(() => signal.removeEventListener('abort', aborted));
    });
  }

  /**
   * Cancels the statement that the body has sent, so that ROLLBACK does not wait for it. The
   * transaction is still open, so the signal cannot reach a statement of other code. Behind a
   * pooler, the process id of the backend is unknown, and only the limits of the transaction apply.
   */
  private async cancelStatement(): Promise<void> {
    const { owner, watch } = this;
    const { processID } = watch.connection;
    if (!watch.isBusy || owner.settings.pooler || !processID) return;
    await within(CANCEL_MS, cancelBackend(owner.database, processID)).catch(() => undefined);
  }

  /** Records the result, with the fence, as the last statement before COMMIT. */
  private async record(result: StepResult): Promise<void> {
    const { owner, session, watch, run } = this;
    const { fence } = session;
    if (!fence) throw new FencedError('there is no session');
    const naming = owner.settings.pooler || owner.settings.connection ? 'unnamed' : 'named';
    const { schema } = owner.database;
    const outcome = await watch.own(() => recordInTransaction(watch.connection, schema, fence, run, result, naming));
    if (outcome.server !== fence.server) throw new NotRecorded('moved');
    if (!outcome.hasSession) {
      session.lost(fence.id);
      throw new NotRecorded('no session');
    }
    if (!outcome.isRecorded) throw new NotRecorded('not owned');
  }

  /**
   * Finds out whether the transaction was committed in spite of the error.
   *
   * @throws the error of the attempt unless the transaction was committed
   */
  private async failed(error: unknown): Promise<void> {
    const { watch, session, owner, run, step, result } = this;
    if (watch.isCommitted) return;
    if (error instanceof NotRecorded) {
      if (error.why === 'moved') {
        await session.moved();
        throw repeat('another server answered', error);
      }
      if (error.why === 'not owned' && (await findCommit(owner.database, run, result!.step, step)) === 'committed') return;
      throw new FencedError(`this session does not own run "${run.id}"`);
    }
    if (watch.isCommitSent && mayHaveTakenEffect(watch.failure)) {
      const found = await findCommit(owner.database, run, result!.step, step);
      if (found === 'committed') return;
      if (found === 'other') throw new FencedError(`this session does not own run "${run.id}"`);
      throw repeat('the connection was lost before the commit', error);
    }
    throw this.translate(error);
  }

  private translate(error: unknown): unknown {
    const { watch, step } = this;
    if (error instanceof TransactionalStepsError || step.signal.aborted) return error;
    const states = [sqlStateOf(error), sqlStateOf(watch.failure)];
    if (states.some((state) => CONFLICTS.includes(state))) return repeat('another transaction conflicts', error);
    if (states.includes('25006')) return new ReadOnlyTransactionError(step.stepKey, { cause: error });
    if (!this.hasBegun && faultOf(error) === 'connection') return repeat('the transaction could not begin', error);
    if (!watch.isBodyOver || watch.failure === undefined) return error;
    // The statement that records the step has failed, or COMMIT has.
    const { failure } = watch;
    if (states[1] === '42501') return new TransactionalStepsError('no-rights', { cause: failure });
    const fault = faultOf(failure);
    return fault === 'connection' || fault === 'locked' ? repeat('the result could not be recorded', failure) : failure;
  }
}

function repeat(message: string, cause: unknown): TransactionRepeat {
  return new TransactionRepeat(message, { cause });
}
