import { clearTimeout, setTimeout } from '../core/timers.js';
import { StepNotRecordedError } from '../core/errors/index.js';
import { Refusals, type RefusalDelegate } from './refusals.js';

/**
 * Decides what happens to records of a run's steps that the database refuses. A refused result
 * becomes a failure of the step. A failure that is refused too is tried again with pauses, and then
 * given up; the body is not executed again meanwhile.
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
   * True when a result was refused and its failure is being recorded: an end that followed from the
   * result does not count.
   */
  get isReplacing(): boolean {
    return this.replacing;
  }

  /**
   * Handles one refused record.
   *
   * @param role `replacement` for the failure that stands in for a refused result
   * @param replace submits the failure that is recorded instead; called once
   * @param retry submits the same record again
   */
  refused(stepKey: string, cause: Error, role: 'result' | 'replacement', replace: (error: Error) => void, retry: () => void): void {
    if (role === 'replacement') return this.retryLater(stepKey, cause, retry);
    // Refusals of later results follow from the first one.
    if (this.replacing) return;
    this.replacing = true;
    replace(cause);
  }

  /** Cancels the next try: the run leaves this process. */
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
