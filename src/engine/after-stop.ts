import { WorkflowTimeoutError } from '../core/errors/index.js';
import type { StepKind } from '../core/step.js';
import type { Call } from './call.js';
import type { StopReason } from './pass-state.js';
import { warnOnce } from './warn-once.js';

/** How many calls in a row may be refused. A loop without an end would otherwise keep the process from everything else. */
const MAX_REFUSED = 10_000;

/** What may become of a call that is made after the run was stopped. */
export type Judgement = 'begin' | 'refuse' | 'never';

/**
 * Decides which steps may begin after a cancellation or a timeout has reached the code: those of its clean-up, and not those of a loop whose `catch` swallows the error.
 *
 * A step that was interrupted does not begin again. Once the code has taken up again what was interrupted, as loops do, nothing begins that it had called before,
 * the clean-up in the `catch` of the loop included. What it calls for the first time begins. Waits begin, because clean-up may wait.
 */
export class AfterStop {
  private readonly interrupted = new Set<string>();
  private readonly before = new Set<string>();
  /** The code goes on as if nothing had happened. */
  private isIgnored = false;
  private refused = 0;

  /**
   * @param calls those that the code has made, before they are rejected
   * @param isHeard whether the code knows of the stop without any of them
   */
  constructor(
    calls: Iterable<Call>,
    private isHeard: boolean,
  ) {
    for (const { settled, kind, name } of calls) {
      const identity = identityOf(kind, name);
      this.before.add(identity);
      if (settled) continue;
      this.interrupted.add(identity);
      this.isHeard = true;
    }
  }

  judge(kind: StepKind, name: string): Judgement {
    const isWait = kind === 'sleep' || kind === 'signal' || kind === 'hook';
    const identity = identityOf(kind, name);
    if (!this.isHeard) {
      // Nothing was open that could reject, so the code hears of the stop now.
      this.isHeard = true;
      this.interrupted.add(identity);
      return 'refuse';
    }
    const isAgain = this.interrupted.has(identity);
    if (isAgain) this.isIgnored = true;
    const isRefused = isAgain || (this.isIgnored && this.before.has(identity));
    if (isWait || !isRefused) {
      this.before.add(identity);
      return 'begin';
    }
    return ++this.refused > MAX_REFUSED ? 'never' : 'refuse';
  }
}

/** Warns of a call that was refused because the run was stopped before. */
export function warnOfRefusedCall(
  pass: { readonly definition: { readonly name: string }; warn(message: string): void },
  name: string,
  stop: StopReason,
): void {
  const how = stop instanceof WorkflowTimeoutError ? 'timed out' : 'was cancelled';
  warnOnce(`stopped\n${pass.definition.name}\n${name}`, () =>
    pass.warn(
      `"${name}" was called again after the run ${how}, and does not begin: it rejects with ${stop.name}. Let a catch in a loop rethrow while ` +
        'ctx.abortSignal.aborted, and give clean-up steps of its own (docs/operations.md)',
    ),
  );
}

/** Names that loops make up of numbers and ids (`charge 17`) count as one. */
const NUMBERS = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9A-HJKMNP-TV-Z]{26}|\d+/gi;

function identityOf(kind: StepKind, name: string): string {
  return `${kind} ${name.replace(NUMBERS, '#')}`;
}
