import { emitProcessWarning } from '../core/process-warning.js';
import type { StepRecord } from '../core/step.js';
import type { Committed, Transition } from '../core/transition.js';

/**
 * A transition (a change of a run's stored state) that is to be written to the database, with the
 * callbacks for its outcome.
 */
export interface JournalEntry {
  readonly transition: Transition;
  readonly bytes: number;
  /**
   * Session that owned the run when the transition was handed in. Null when the transition needs no
   * owner.
   */
  readonly sessionId: string | null;
  /** Time when the transition was handed in, from performance.now(). */
  readonly since: number;
  readonly done: (committed: Committed) => void;
  readonly failed: (error: Error) => void;
  /** True when a flush with the transition failed, although the server may have committed it. */
  mayBeWritten?: boolean;
}

/**
 * Returns the id of the run that an entry starts. Returns the id of the entry's own run when it
 * starts none.
 */
export function startedRun({ transition }: JournalEntry): string {
  return transition.kind === 'wait' ? (transition.child?.id ?? transition.runId) : transition.runId;
}

/** Estimated number of bytes of a transition, not counting its payload. */
const FIXED_BYTES = 200;

/** Estimates how many bytes the transition adds to a flush. */
export function sizeOf(transition: Transition): number {
  switch (transition.kind) {
    case 'start':
      return FIXED_BYTES + transition.run.input.length;
    case 'step':
      return bytesOfStep(transition.step);
    case 'wait':
      return FIXED_BYTES + (transition.event?.data?.length ?? 0) + (transition.child?.input.length ?? 0);
    case 'emit':
      return FIXED_BYTES + transition.event.payload.length;
    case 'closeWait':
    case 'cancelChild':
      return FIXED_BYTES;
    case 'drop':
      return FIXED_BYTES + (transition.event?.data?.length ?? 0);
    case 'state':
      return FIXED_BYTES + transition.value.length;
    case 'chunks':
      return transition.chunks.reduce((bytes, chunk) => bytes + FIXED_BYTES + chunk.bytes, 0);
    case 'change': {
      const { change } = transition;
      return FIXED_BYTES + ('output' in change ? (change.output?.length ?? 0) + (change.error?.length ?? 0) : 0);
    }
  }
}

function bytesOfStep({ output, error, compensateArgs }: StepRecord): number {
  return FIXED_BYTES + (output?.length ?? 0) + (error?.length ?? 0) + (compensateArgs?.length ?? 0);
}

/** Calls `done` or `failed` of the entry, depending on the outcome. */
export function reportOutcome(entry: JournalEntry, outcome: Committed | Error): void {
  try {
    if (outcome instanceof Error) entry.failed(outcome);
    else entry.done(outcome);
  } catch (error) {
    // The outcome is final. An error of this callback must not prevent the other callbacks, and
    // must not cause a second write.
    emitProcessWarning('journal-callback-failed', error instanceof Error ? (error.stack ?? error.message) : String(error));
  }
}
