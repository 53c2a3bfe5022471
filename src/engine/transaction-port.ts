import type { WantedIsolation } from '../core/transactional.js';
import type { StepResult } from '../core/transition.js';

/** Execution of a step's body in a transaction, which also records the result of the step. */
export interface StepTransaction {
  readonly stepKey: string;
  readonly isolation: WantedIsolation;
  /** Milliseconds that the transaction may take; null for no limit. */
  readonly timeoutMs: number | null;
  /** AbortSignal whose abort rolls the transaction back. */
  readonly signal: AbortSignal;
  /** True once the pass was given up, so that nobody needs the outcome of a commit. */
  readonly isAbandoned: boolean;
  /**
   * Executes the body. Returns the result of the step, numbered and ready to be recorded.
   *
   * @param manager EntityManager of the transaction
   */
  body(manager: object): Promise<StepResult>;
  /**
   * Begins the commit. Called directly before COMMIT is sent. From then on, neither a timeout nor
   * an abort ends the attempt.
   *
   * @throws the reason for the end, when the attempt has already ended
   */
  beginCommit(): void;
  /** Notes that the commit is certain. */
  committed(): void;
}

/** Executes step bodies in transactions of the application's database. */
export interface TransactionPort {
  /**
   * Executes the body and commits its writes together with the step's result. Resolves when both
   * are durable. When the promise rejects, neither is.
   *
   * @throws TransactionRepeat when the body is to be executed again
   */
  transact(step: StepTransaction): Promise<void>;
  /** Resolves when the chunks that the run has written to its streams so far are durable. */
  chunksStored(): Promise<void>;
}

/**
 * The transaction had no effect, for a reason that is no fault of the body: a conflict with another
 * transaction, or a connection that was lost before the commit. The body is executed again, and no
 * attempt is counted. `cause` is the driver's error.
 */
export class TransactionRepeat extends Error {}
