import { isPlainObject } from '../core/check-options.js';
import { InvalidInputError, RaceLostError } from '../core/errors/index.js';
import { executionScope } from './current.js';
import type { RaceBranches, RaceResult } from './context-options.js';
import type { PassHandle } from './pass-handle.js';
import { noteRejection } from './rejections.js';

/**
 * Executes the branches in parallel until one has ended. Open calls of the other branches are
 * withdrawn in the same turn of the pass, before another result or message enters. So a signal for
 * which a losing branch waited is kept for the next wait.
 */
export function race<B extends RaceBranches>(pass: PassHandle, branches: B): Promise<RaceResult<B>> {
  if (!isPlainObject(branches)) throw new InvalidInputError('branches', 'must be an object of functions');
  const keys = Object.keys(branches);
  if (keys.length === 0) throw new InvalidInputError('branches', 'must have at least one branch');
  for (const key of keys) {
    if (typeof branches[key] !== 'function') throw new InvalidInputError(`branches.${key}`, 'must be a function');
  }
  const outer = executionScope.getStore();
  outer?.signal?.throwIfAborted();
  return new Promise((resolve, reject) => {
    const controllers = new Map(keys.map((key) => [key, new AbortController()]));
    let isOver = false;
    const finish = (winner: string, settle: () => void): void => {
      if (isOver) return;
      isOver = true;
      for (const [key, controller] of controllers) if (key !== winner) controller.abort(new RaceLostError(winner));
      settle();
    };
    // Ends this race when the race is inside a branch of another race, and that branch has lost.
    outer?.signal?.addEventListener('abort', () => {
      if (isOver) return;
      isOver = true;
      for (const controller of controllers.values()) controller.abort(outer.signal!.reason);
      noteRejection(outer.signal!.reason);
      reject(outer.signal!.reason as Error);
    });
    for (const [key, { signal }] of controllers) {
      executionScope.run({ pass, step: undefined, signal, saga: outer?.saga }, () => {
        const branch = async (): Promise<unknown> => branches[key]!(signal);
        branch().then(
          (value) => finish(key, () => resolve({ key, value } as RaceResult<B>)),
          (error: unknown) => finish(key, () => reject(error)),
        );
      });
    }
  });
}
