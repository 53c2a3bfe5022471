/** Errors with which durable calls of workflows have rejected. */
const known = new WeakSet<object>();

/** Largest number of nested errors (`cause`) that are checked. */
const MAX_DEPTH = 10;

/** Remembers an error with which a durable call rejects. */
export function noteRejection(error: unknown): void {
  if (typeof error === 'object' && error !== null) known.add(error);
}

/**
 * Returns true for an error of a durable call, and for an error that has such an error as a cause.
 */
export function isOfCall(reason: unknown): boolean {
  let error = reason;
  for (let depth = 0; depth < MAX_DEPTH && typeof error === 'object' && error !== null; depth++) {
    if (known.has(error)) return true;
    try {
      error = (error as { cause?: unknown }).cause;
    } catch {
      return false;
    }
  }
  return false;
}
