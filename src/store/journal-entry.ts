import type { Committed, Transition } from '../core/transition.js';

/** A transition on its way, and who wants to know. */
export interface JournalEntry {
  readonly transition: Transition;
  readonly bytes: number;
  /** The session that owned the run when this was handed in; null for what needs no owner. */
  readonly sessionId: string | null;
  /** When it was handed in, of performance.now(). */
  readonly since: number;
  readonly done: (committed: Committed) => void;
  readonly failed: (error: Error) => void;
  /** It was sent and no answer came: the database may have it. */
  mayBeWritten?: boolean;
}

/** The run that an entry starts; the entry's own run when it starts none. */
export function startedRun({ transition }: JournalEntry): string {
  return transition.kind === 'wait' ? (transition.child?.id ?? transition.runId) : transition.runId;
}

/** What a transition takes beside its payload. */
const FIXED_BYTES = 200;

/** About how many bytes the transition adds to a flush. */
export function sizeOf(transition: Transition): number {
  switch (transition.kind) {
    case 'start':
      return FIXED_BYTES + transition.run.input.length;
    case 'step':
      return FIXED_BYTES + (transition.step.output?.length ?? 0) + (transition.step.error?.length ?? 0);
    case 'wait':
      return FIXED_BYTES + (transition.event?.data?.length ?? 0) + (transition.child?.input.length ?? 0);
    case 'closeWait':
    case 'cancelChild':
      return FIXED_BYTES;
    case 'drop':
      return FIXED_BYTES + (transition.event?.data?.length ?? 0);
    case 'state':
      return FIXED_BYTES + transition.value.length;
    case 'change': {
      const { change } = transition;
      return FIXED_BYTES + ('output' in change ? (change.output?.length ?? 0) + (change.error?.length ?? 0) : 0);
    }
  }
}

/** Calls back with what became of the transition. */
export function tell(entry: JournalEntry, outcome: Committed | Error): void {
  try {
    if (outcome instanceof Error) entry.failed(outcome);
    else entry.done(outcome);
  } catch (error) {
    // What is written is written: the others are told all the same, and nothing is written again.
    process.emitWarning(error instanceof Error ? (error.stack ?? error.message) : String(error), 'JournalWarning');
  }
}
