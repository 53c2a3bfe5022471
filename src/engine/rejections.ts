/** What calls of workflows have rejected with. */
const given = new WeakSet<object>();

/** How far down the causes of an error are looked at. */
const DEPTH = 10;

/** A call rejects with this. */
export function noteRejection(error: unknown): void {
  if (typeof error === 'object' && error !== null) given.add(error);
}

/** Whether an error has come out of a workflow's call, by itself or as the cause of another. */
export function isOfCall(reason: unknown): boolean {
  let error = reason;
  for (let depth = 0; depth < DEPTH && typeof error === 'object' && error !== null; depth++) {
    if (given.has(error)) return true;
    try {
      error = (error as { cause?: unknown }).cause;
    } catch {
      return false;
    }
  }
  return false;
}
