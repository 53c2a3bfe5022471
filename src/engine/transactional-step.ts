import { sleep } from '../core/timers.js';
import { findChange } from './argument-changes.js';
import type { Attempt } from './attempt.js';
import type { Call, StepBody, StepSpec } from './call.js';
import type { PassHandle, ReservedResult } from './pass-handle.js';
import { TransactionRepeat, type StepTransaction } from './transaction-port.js';

/** Maximum number of executions of a body in one attempt, when other transactions conflict. */
const MAX_EXECUTIONS = 10;
/** Longest pause before the second execution, in milliseconds. Later pauses are longer. */
const CONFLICT_PAUSE_MS = 10;

/** The result of a body cannot be stored, so another attempt would not help. */
export class UnstorableOutput extends Error {}

/**
 * Wraps the body of a transactional step. The wrapped body executes the step's own body in a
 * transaction, records the result in the same transaction, and ends when both are durable. Executes
 * the body again, without counting an attempt, when another transaction conflicts.
 */
export function inTransaction(pass: PassHandle, call: Call, spec: StepSpec, attempt: Attempt): StepBody {
  return async (first) => {
    let given = spec.given && first;
    for (let executions = 1; ; executions++) {
      const execution = new Execution(pass, call, spec, attempt, given);
      try {
        return await pass.effects.transact(execution);
      } catch (error) {
        execution.dropped();
        attempt.commitFailed();
        if (!(error instanceof TransactionRepeat) || attempt.isOver) throw error;
        if (executions === MAX_EXECUTIONS) throw error.cause;
        await sleep(Math.random() * CONFLICT_PAUSE_MS * executions);
        if (attempt.isOver) throw error.cause;
        given = spec.given?.fresh();
      }
    }
  };
}

/** One execution of a transactional body. */
class Execution implements StepTransaction {
  private reserved: ReservedResult | undefined;
  private isDropped = false;

  constructor(
    private readonly pass: PassHandle,
    private readonly call: Call,
    private readonly spec: StepSpec,
    private readonly attempt: Attempt,
    private readonly given: readonly unknown[] | undefined,
  ) {}

  get stepKey(): string {
    return this.call.stepKey;
  }

  get isolation(): StepTransaction['isolation'] {
    return this.spec.isolation!;
  }

  get timeoutMs(): number | null {
    return this.spec.timeoutMs;
  }

  get signal(): AbortSignal {
    return this.attempt.abortSignal;
  }

  get isAbandoned(): boolean {
    return this.pass.isClosed;
  }

  async body(manager: object): ReturnType<StepTransaction['body']> {
    const { pass, call, spec, attempt, given } = this;
    let value: unknown;
    attempt.manager = manager;
    try {
      value = await (given ? spec.body(given) : (spec.body as () => unknown)());
    } finally {
      attempt.manager = undefined;
    }
    const changed = given && findChange(pass, call, spec, given);
    if (changed) throw changed;
    const output = this.encode(value);
    await pass.effects.chunksStored();
    const reserved = await pass.results.reserve(call, { output, attempts: call.failures + 1 });
    // The attempt or the transaction may have ended while this execution waited for its turn. A
    // number that nobody gives back would stop all later results of the run.
    if (attempt.isOver || this.isDropped) reserved.drop();
    else this.reserved = reserved;
    return reserved.result;
  }

  beginCommit(): void {
    this.attempt.beginCommit();
  }

  committed(): void {
    this.reserved?.commit();
    this.reserved = undefined;
  }

  /** Gives the number of the result back, because the transaction had no effect. */
  dropped(): void {
    this.isDropped = true;
    this.reserved?.drop();
    this.reserved = undefined;
  }

  private encode(value: unknown): string | null {
    if (value === undefined) return null;
    try {
      return this.pass.encode(value, `output of step "${this.call.stepKey}"`);
    } catch (error) {
      throw new UnstorableOutput('the output cannot be stored', { cause: error });
    }
  }
}
