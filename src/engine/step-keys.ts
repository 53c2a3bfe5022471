import { InvalidInputError } from '../core/errors/index.js';
import { checkText } from '../core/ids.js';
import { escapeStepText } from '../core/step-key-text.js';

/**
 * Largest length of a step key, in characters. Keeps index rows that contain a step key below
 * PostgreSQL's limit of 2,700 bytes.
 */
const MAX_LENGTH = 800;

const NUMBERED = /#(\d+)$/;

/** Step key under which a cancellation is recorded. */
export const CANCEL_KEY = '$cancel';

/** Key of the timer for a run's deadline. */
export const TIMEOUT_KEY = '$timeout';

/** Returns the step key under which a patch is recorded. */
export function patchKey(id: string): string {
  return `$patch:${checkText(id, 'id of the patch')}`;
}

/**
 * Gives each call of a pass its step key: `charge`, `charge#2`, `charge:<key>`. Replay requires
 * that the same calls in the same order get the same keys. So the number is assigned when the call
 * is made, before anything is awaited.
 */
export class StepKeys {
  /**
   * Number of calls, by step key without the `#2`. Contains only keys that were used more than
   * once.
   */
  private counts: Map<string, number> | undefined;

  /** @param calls the calls of the pass, by step key */
  constructor(private readonly calls: ReadonlyMap<string, unknown>) {}

  /**
   * Returns the step key of the next call.
   *
   * @throws InvalidInputError when the name or the key is not a string, is empty or is too long
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

/** Returns the step key of the previous call with the same name: `charge#2` for `charge#3`. */
export function precedingKey(stepKey: string): string | undefined {
  const numbered = NUMBERED.exec(stepKey);
  if (!numbered) return undefined;
  const first = stepKey.slice(0, numbered.index);
  const count = Number(numbered[1]);
  return count > 2 ? `${first}#${count - 1}` : first;
}
