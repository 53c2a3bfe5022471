import { InvalidInputError } from '../core/errors/index.js';
import { checkText } from '../core/ids.js';
import { escapeStepText } from '../core/step-key-text.js';

/** Longest step key, in characters. A row of an index must stay below 2,700 bytes. */
const MAX_LENGTH = 800;

const NUMBERED = /#(\d+)$/;

/** Step key of the record of a cancellation. */
export const CANCEL_KEY = '$cancel';

/** Key of the timer for a run's deadline. */
export const TIMEOUT_KEY = '$timeout';

/** Returns the step key of the record of a patch. */
export function patchKey(id: string): string {
  return `$patch:${checkText(id, 'id of the patch')}`;
}

/**
 * Gives each call of a pass its step key: `charge`, `charge#2`, `charge:<key>`. Replay depends on
 * it that the same calls in the same order get the same keys. So the number is taken when the call
 * is made, before anything is awaited.
 */
export class StepKeys {
  /** Number of calls by name, for names that were called more than once. */
  private counts: Map<string, number> | undefined;

  /** @param calls the calls of the pass, by step key */
  constructor(private readonly calls: ReadonlyMap<string, unknown>) {}

  /**
   * @throws InvalidInputError when the name or the key is not usable
   */
  next(name: string, key: string | undefined): string {
    let base = escapeStepText(name, 'step name');
    if (key !== undefined) base = `${base}:${escapeStepText(key, `key of step "${name}"`)}`;
    if (base.length > MAX_LENGTH) throw new InvalidInputError('step key', `must have at most ${MAX_LENGTH} characters, not ${base.length}`);
    if (this.calls.has(base)) {
      this.counts ??= new Map();
      const count = (this.counts.get(base) ?? 1) + 1;
      this.counts.set(base, count);
      return `${base}#${count}`;
    }
    return base;
  }
}

/** Returns the key of the previous call of the same name: `charge#2` for `charge#3`. */
export function precedingKey(stepKey: string): string | undefined {
  const numbered = NUMBERED.exec(stepKey);
  if (!numbered) return undefined;
  const first = stepKey.slice(0, numbered.index);
  const count = Number(numbered[1]);
  return count > 2 ? `${first}#${count - 1}` : first;
}
