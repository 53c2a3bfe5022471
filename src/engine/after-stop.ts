import { WorkflowTimeoutError } from '../core/errors/index.js';
import type { StepKind } from '../core/step.js';
import type { Call } from './call.js';
import type { StopReason } from './pass-state.js';
import { warnOnce } from './warn-once.js';

/**
 * Number of calls that may be refused. A loop without an end would otherwise block the event loop
 * of the process.
 */
const MAX_REFUSED = 10_000;

/** Decision about a call that is made after the run was stopped. */
export type Judgement = 'begin' | 'refuse' | 'never';

/**
 * Decides which steps may begin after a cancellation or a timeout has reached the code. Steps of
 * the cleanup may, and steps of a loop whose `catch` swallows the error may not.
 *
 * A step that was interrupted does not begin again. When the code calls an interrupted step again,
 * as loops do, nothing begins that the code had called before. This includes cleanup in the `catch`
 * of the loop. Steps that the code calls for the first time begin. Waits always begin, because
 * cleanup may wait.
 */
export class AfterStop {
  private readonly interrupted = new Set<string>();
  private readonly before = new Set<string>();
  /** True once the code has called an interrupted step again, and so ignores the stop. */
  private isIgnored = false;
  private refused = 0;

  /**
   * @param calls calls of the code, before they are rejected
   * @param isKnown true when the code knows of the stop without a rejected call
   */
  constructor(
    calls: Iterable<Call>,
    private isKnown: boolean,
  ) {
    for (const { settled, kind, name } of calls) {
      const identity = identityOf(kind, name);
      this.before.add(identity);
      if (settled) continue;
      this.interrupted.add(identity);
      this.isKnown = true;
    }
  }

  judge(kind: StepKind, name: string): Judgement {
    const isWait = kind === 'sleep' || kind === 'signal' || kind === 'hook';
    const identity = identityOf(kind, name);
    if (!this.isKnown) {
      // No call was open that could reject, so this call tells the code of the stop.
      this.isKnown = true;
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

/**
 * Returns the error of a call that was refused because the run was stopped before, and warns of the
 * call once.
 */
export function refusalOf(
  pass: { readonly definition: { readonly name: string }; warn(message: string): void },
  name: string,
  stop: StopReason,
): StopReason {
  const how = stop instanceof WorkflowTimeoutError ? 'timed out' : 'was cancelled';
  warnOnce(`stopped\n${pass.definition.name}\n${name}`, () =>
    pass.warn(
      `"${name}" was called again after the run ${how}, and does not begin: it rejects with ${stop.name}. Let a catch in a loop rethrow while ` +
        'ctx.abortSignal.aborted, and give clean-up steps of its own (docs/operations.md)',
    ),
  );
  return stop;
}

/** Numbers and ids in names that loops build (`charge 17`). Such names count as one. */
const NUMBERS = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9A-HJKMNP-TV-Z]{26}|\d+/gi;

function identityOf(kind: StepKind, name: string): string {
  return `${kind} ${name.replace(NUMBERS, '#')}`;
}
