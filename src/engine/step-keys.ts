import { InvalidInputError } from '../core/errors/index.js';
import { checkText } from '../core/ids.js';
import { escapeStepText } from '../core/step-key-text.js';

/** A row of an index must stay below 2,700 bytes. */
const MAX_LENGTH = 800;

const NUMBERED = /#(\d+)$/;

/** The key under which a pass records the delivery of a cancellation. */
export const CANCEL_KEY = '$cancel';

/** The alarm of a run's deadline. */
export const TIMEOUT_KEY = '$timeout';

/** The key under which a pass records that it takes part in a change of the code. */
export function patchKey(id: string): string {
  return `$patch:${checkText(id, 'id of the patch')}`;
}

/**
 * Gives each call of a pass its step key: `charge`, `charge#2`, `charge:<key>`. The same calls in the same order get the same keys,
 * which is what replay stands on; so the number is taken when the call is made, before anything is awaited.
 */
export class StepKeys {
  /** Of names that were called more than once. */
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

/** The key of the call of the same name before this one: of `charge#3`, `charge#2`. */
export function precedingKey(stepKey: string): string | undefined {
  const numbered = NUMBERED.exec(stepKey);
  if (!numbered) return undefined;
  const first = stepKey.slice(0, numbered.index);
  const count = Number(numbered[1]);
  return count > 2 ? `${first}#${count - 1}` : first;
}
