import { WorkflowTimeoutError } from '../core/errors/index.js';
import type { StepKind } from '../core/step.js';
import type { WarningCode } from '../core/warning-codes.js';
import type { Call } from './call.js';
import type { StopReason } from './pass-state.js';
import { warnOnce } from './warn-once.js';

/**
 * Largest number of calls that are rejected after a stop. Later calls stay open for ever. Otherwise
 * an endless loop that catches each error would block the event loop.
 */
const MAX_REFUSED = 10_000;

/** Decision about a call made after the run was stopped. `never` leaves the call open for ever. */
export type Judgement = 'begin' | 'refuse' | 'never';

/**
 * Decides which steps may begin after a cancellation or a timeout has reached the workflow's code.
 * Steps that clean up may begin. Steps of a loop whose `catch` swallows the error may not.
 *
 * A step that the stop interrupted does not begin again. Code that calls an interrupted step again,
 * as a loop does, ignores the stop. From then on, no step begins that the code had called before,
 * even a cleanup step in the `catch` of the loop. Steps that the code calls for the first time
 * begin. Waits always begin, because cleanup may need to wait.
 */
export class AfterStop {
  private readonly interrupted = new Set<string>();
  private readonly before = new Set<string>();
  /**
   * True once the code has called an interrupted step again, which shows that it ignores the stop.
   */
  private isIgnored = false;
  private refused = 0;

  /**
   * @param calls all calls that the code has made, before the open ones are rejected
   * @param isKnown true when the code uses the run's AbortSignal, which reports the stop without a
   * rejected call
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
    const isWait = kind === 'sleep' || kind === 'signal' || kind === 'hook' || kind === 'event';
    const identity = identityOf(kind, name);
    if (!this.isKnown) {
      // No open call was rejected, so nothing has reported the stop to the code yet. Rejects this
      // call to report it.
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
 * Returns the error that rejects a call made after the run was stopped. Logs a warning, once for
 * each workflow and call name.
 */
export function refusalOf(
  pass: { readonly definition: { readonly name: string }; warn(code: WarningCode, message: string): void },
  name: string,
  stop: StopReason,
): StopReason {
  const how = stop instanceof WorkflowTimeoutError ? 'timed out' : 'was cancelled';
  warnOnce(`stopped\n${pass.definition.name}\n${name}`, () =>
    pass.warn(
      'call-after-stop',
      `"${name}" was called again after the run ${how}, and does not begin: it rejects with ${stop.name}. Let a catch in a loop rethrow while ` +
        'ctx.abortSignal.aborted, and give clean-up steps of its own (docs/operations.md)',
    ),
  );
  return stop;
}

/**
 * Matches numbers and ids in step names that a loop builds, such as `charge 17`. Names that differ
 * only in numbers or ids count as the same name.
 */
const NUMBERS = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9A-HJKMNP-TV-Z]{26}|\d+/gi;

function identityOf(kind: StepKind, name: string): string {
  return `${kind} ${name.replace(NUMBERS, '#')}`;
}
