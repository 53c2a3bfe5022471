import { types } from 'node:util';

/**
 * Whether a callback that must answer at once gave a promise. Its rejection is heard then: whoever called has an error of its own to tell, and one that nobody
 * hears ends the process.
 */
export function isPromise(value: unknown): boolean {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return false;
  try {
    if (!types.isPromise(value) && typeof (value as { then?: unknown }).then !== 'function') return false;
  } catch {
    // A getter that throws: no promise that anybody could wait for.
    return false;
  }
  new Promise((resolve) => {
    resolve(value);
  }).catch(() => undefined);
  return true;
}
