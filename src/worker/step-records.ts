import { clearTimeout, setTimeout } from '../core/timers.js';
import { StepNotRecordedError } from '../core/errors/index.js';
import type { Committed, Transition } from '../core/transition.js';
import type { ExecutionDelegate } from './execution-delegate.js';

/** Pauses before the record of a step is tried again; after the last one the run is blocked. */
const PAUSES_MS = [500, 2_000, 5_000];

interface RecordsOwner {
  /** A record is tried again later: nothing of the run is under way until then. */
  waits(message: string): void;
  givenUp(error: StepNotRecordedError): void;
}

/**
 * Hands the records of a run's steps to the journal. Where the database refuses a result, the step is
 * recorded as failed. Where it refuses the failure too, the failure is tried again with pauses, and
 * then given up; the body is not executed again meanwhile.
 */
export class StepRecords {
  private replacing = false;
  private closed = false;
  private refusals = 0;
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly runId: string,
    private readonly journal: Pick<ExecutionDelegate<unknown>, 'submit'>,
    private readonly owner: RecordsOwner,
  ) {}

  /** A result was refused and its failure is being recorded: the end that came of the result does not count. */
  get isReplacing(): boolean {
    return this.replacing;
  }

  /** @param refused is called once, and hands in the failure to be recorded instead */
  submit(
    transition: Transition & { readonly kind: 'step' },
    recorded: (committed: Committed) => void,
    refused: (error: Error) => void,
    fenced: (error: Error) => void,
  ): void {
    const isFailureInstead = this.replacing;
    const submit = (): void =>
      this.journal.submit(transition, recorded, (error) => {
        if (!isRefusal(error)) return fenced(error);
        if (isFailureInstead) return this.later(transition.step.stepKey, error, submit);
        // Others come of the one that was refused first.
        if (this.replacing) return;
        this.replacing = true;
        refused(error);
      });
    submit();
  }

  /** Tries nothing again: the run leaves this process's hands. */
  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
  }

  private later(stepKey: string, cause: Error, submit: () => void): void {
    if (this.closed) return;
    const error = new StepNotRecordedError(this.runId, stepKey, { cause });
    const pause = PAUSES_MS[this.refusals++];
    if (pause === undefined) return this.owner.givenUp(error);
    this.owner.waits(`${error.message}; trying again in ${pause} ms`);
    this.timer = setTimeout(submit, pause);
  }
}

/** Tells whether the database refuses the data; otherwise the run is no longer this process's. */
export function isRefusal(error: Error): boolean {
  const { code } = error as { code?: unknown };
  return code !== 'FENCED' && code !== 'CLOSED';
}
