const POLL_INTERVAL = 10;

export interface WaitOptions {
  /** Default 30 seconds. */
  timeoutMs?: number;
  /** The missing event, for the error. */
  message?: string | (() => string);
}

/**
 * Waits until `condition` returns a truthy value, and returns that. An error of the condition
 * counts as "not yet".
 */
export async function waitFor<T>(condition: () => T | Promise<T>, options: WaitOptions = {}): Promise<NonNullable<T>> {
  const { timeoutMs = 30_000, message = 'the condition' } = options;
  const deadline = Date.now() + timeoutMs;
  let lastError: unknown;
  for (;;) {
    try {
      const value = await condition();
      if (value) return value;
      lastError = undefined;
    } catch (error) {
      lastError = error;
    }
    if (Date.now() >= deadline) {
      const what = typeof message === 'function' ? message() : message;
      throw new Error(`Waited ${timeoutMs} ms in vain for ${what}`, lastError === undefined ? undefined : { cause: lastError });
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_INTERVAL));
  }
}
