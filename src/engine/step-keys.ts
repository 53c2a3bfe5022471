import { firstStepKey, numberedStepKey } from '../core/step-key-format.js';

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
    const first = firstStepKey(name, key);
    if (!this.calls.has(first)) return first;
    this.counts ??= new Map();
    const count = (this.counts.get(first) ?? 1) + 1;
    this.counts.set(first, count);
    return numberedStepKey(first, count);
  }
}
