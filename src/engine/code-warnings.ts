import type { Call } from './call.js';
import type { WarningCode } from '../core/warning-codes.js';
import { precedingKey } from '../core/step-key-format.js';
import { warnOnce } from './warn-once.js';

/**
 * Warns of steps that had no result when `run` ended. The results of these steps are dropped, and
 * the code after them is never executed.
 */
export function warnOfOpenSteps(
  definition: { readonly name: string },
  calls: Iterable<Call>,
  warn: (code: WarningCode, message: string) => void,
): void {
  let open: string[] | undefined;
  for (const { settled, kind, stepKey } of calls) {
    // Leaves out waits. An open wait does no harm: most likely it has lost a Promise.race.
    if (!settled && (kind === 'step' || kind === 'start' || kind === 'child')) (open ??= []).push(stepKey);
  }
  if (!open) return;
  const [first] = open;
  const shown = open.slice(0, 3).map((key) => `"${key}"`);
  const more = open.length > shown.length ? ` and ${open.length - shown.length} more` : '';
  const [steps, results, after] =
    open.length === 1 ? ['step', 'Its result', 'code after it'] : ['steps', 'Their results', 'code after them'];
  warnOnce(`open\n${definition.name}\n${first}`, () =>
    warn(
      'open-steps',
      `run() ended while ${steps} ${shown.join(', ')}${more} had no result. ${results} will not be recorded, and ${after} will not be ` +
        'executed. Was an await forgotten, as in forEach(async ...)? Use ctx.race where the first of several branches is enough',
    ),
  );
}

/**
 * Warns of a call that the workflow's code makes after `run` has ended. Such a call is never
 * executed.
 */
export function warnOfLateCall(
  pass: { readonly definition: { readonly name: string }; warn(code: WarningCode, message: string): void },
  kind: Call['kind'],
  name: string,
): void {
  if (kind !== 'step' && kind !== 'start' && kind !== 'child') return;
  warnOnce(`late\n${pass.definition.name}\n${name}`, () =>
    pass.warn(
      'late-call',
      `"${name}" was called after run() had ended, and does not begin. Was an await forgotten, of the function that calls it?`,
    ),
  );
}

/**
 * Warns of two open calls with the same name that were made after ordinary I/O. In the next pass,
 * the I/O may end in another order. Each call would then get the record of the other call.
 */
export function warnOfRivals(
  pass: { readonly definition: { readonly name: string }; warn(code: WarningCode, message: string): void },
  calls: ReadonlyMap<string, Call>,
  { stepKey, name }: Call,
): void {
  const rival = precedingKey(stepKey);
  if (rival === undefined || calls.get(rival)?.settled !== false) return;
  warnOnce(`${pass.definition.name}\n${name}`, () =>
    pass.warn(
      'same-name-at-once',
      `"${name}" is called several times at once by branches that also do ordinary I/O: they may come in another order in the next pass. Give each call a key`,
    ),
  );
}
