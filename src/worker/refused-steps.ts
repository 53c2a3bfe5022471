import { clearTimeout, setTimeout } from '../core/timers.js';
import { StepNotRecordedError } from '../core/errors/index.js';
import { Refusals, type RefusalDelegate } from './refusals.js';

/**
 * Decides what to do when the database refuses the record of a step. A refused result is replaced
 * by a failure of the step. If the failure is refused too, the write is retried a few times, and
 * then the run is blocked. The step's body is not executed again meanwhile.
 */
export class RefusedSteps {
  private replacing = false;
  private closed = false;
  private timer: NodeJS.Timeout | undefined;
  private readonly refusals: Refusals;

  constructor(
    private readonly runId: string,
    delegate: RefusalDelegate,
  ) {
    this.refusals = new Refusals(delegate);
  }

  /**
   * True when a result was refused and a failure is recorded instead. If the workflow's code has
   * ended because of the refused result, that end must not be recorded.
   */
  get isReplacing(): boolean {
    return this.replacing;
  }

  /**
   * Handles one refused record.
   *
   * @param role `replacement` for the failure that replaces a refused result
   * @param replace submits that failure; called once
   * @param retry submits the same record again
   */
  refused(stepKey: string, cause: Error, role: 'result' | 'replacement', replace: (error: Error) => void, retry: () => void): void {
    if (role === 'replacement') return this.retryLater(stepKey, cause, retry);
    // Later results are refused only because of the first refusal, so they need no handling.
    if (this.replacing) return;
    this.replacing = true;
    replace(cause);
  }

  /** Cancels the next retry, because the run leaves this process. */
  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
  }

  private retryLater(stepKey: string, cause: Error, retry: () => void): void {
    if (this.closed) return;
    const pauseMs = this.refusals.next(new StepNotRecordedError(this.runId, stepKey, { cause }));
    if (pauseMs !== undefined) this.timer = setTimeout(retry, pauseMs);
  }
}
