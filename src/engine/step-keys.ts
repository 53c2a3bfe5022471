import { InvalidInputError } from '../core/errors/index.js';
import { checkText } from '../core/ids.js';

const NUMBERED = /#\d+$/;

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
    if (typeof name !== 'string') checkStepText(name, 'step name');
    if (key !== undefined && typeof key !== 'string') checkStepText(key, `key of step "${name}"`);
    const base = key === undefined ? name : `${name}:${key}`;
    if (this.calls.has(base)) {
      this.counts ??= new Map();
      const count = (this.counts.get(base) ?? 1) + 1;
      this.counts.set(base, count);
      return `${base}#${count}`;
    }
    checkStepText(name, 'step name');
    if (key !== undefined) checkStepText(key, `key of step "${name}"`);
    checkText(base, 'step key');
    return base;
  }
}

/** The key of the call of the same name before this one: of `charge#3`, `charge#2`. */
export function precedingKey(stepKey: string): string | undefined {
  const at = stepKey.lastIndexOf('#');
  if (at < 0) return undefined;
  const count = Number(stepKey.slice(at + 1));
  return count > 2 ? `${stepKey.slice(0, at)}#${count - 1}` : stepKey.slice(0, at);
}

function checkStepText(text: unknown, argument: string): void {
  const checked = checkText(text, argument);
  if (NUMBERED.test(checked))
    throw new InvalidInputError(argument, `must not end in "#" and a number, which counts repeated calls: "${checked}"`);
  if (checked.startsWith('$')) throw new InvalidInputError(argument, `must not start with "$": "${checked}"`);
}
