import { logText } from '../core/log-text.js';
import { CommandError } from './errors.js';
import { EXIT } from './exit-codes.js';
import type { CommandContext } from './action.js';

/**
 * Asks the user to confirm, unless `--yes` was given.
 *
 * @param what the change as a sentence without its full stop: `This ends 12 runs`
 * @throws CommandError when the user does not confirm, or nobody can be asked
 */
export async function confirm({ given, io, printer }: CommandContext, what: string): Promise<void> {
  if (given.has('yes')) return;
  if (!io.isInteractive) {
    throw new CommandError('NOT_CONFIRMED', `${what}. Nothing was changed: add --yes, because nobody can be asked here`, EXIT.notConfirmed);
  }
  printer.clearProgress();
  const answer = await io.ask(`${logText(what)}. Continue? [y/N] `);
  if (/^y(es)?$/i.test(answer.trim())) return;
  throw new CommandError('NOT_CONFIRMED', 'nothing was changed', EXIT.notConfirmed);
}
