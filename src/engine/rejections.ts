/** Errors that calls of workflows have rejected with. */
const known = new WeakSet<object>();

/** Largest number of causes of an error that are checked. */
const DEPTH = 10;

/** Notes an error that a call rejects with. */
export function noteRejection(error: unknown): void {
  if (typeof error === 'object' && error !== null) known.add(error);
}

/** Tells if an error comes from a call of a workflow, directly or as a cause of another error. */
export function isOfCall(reason: unknown): boolean {
  let error = reason;
  for (let depth = 0; depth < DEPTH && typeof error === 'object' && error !== null; depth++) {
    if (known.has(error)) return true;
    try {
      error = (error as { cause?: unknown }).cause;
    } catch {
      return false;
    }
  }
  return false;
}
