const POLL_INTERVAL = 10;

/**
 * Factor of every bound of time in tests: 1 on a developer's machine, larger where `CI` is set
 * (jest.config.mjs). A loaded machine then makes a test slower, and never makes it fail.
 */
export const PATIENCE = Number(process.env.DURABLE_TEST_PATIENCE ?? '1');

/** `count` seconds in milliseconds, times the patience of this machine. */
export function seconds(count: number): number {
  return count * 1000 * PATIENCE;
}

export interface WaitOptions {
  /** Default 30 seconds. Multiplied by {@link PATIENCE}. */
  timeoutMs?: number;
  /** The missing event, for the error. */
  message?: string | (() => string);
}

/**
 * Waits until `condition` returns a truthy value, and returns that. An error of the condition
 * counts as "not yet".
 */
export async function waitFor<T>(condition: () => T | Promise<T>, options: WaitOptions = {}): Promise<NonNullable<T>> {
  const { message = 'the condition' } = options;
  const timeoutMs = (options.timeoutMs ?? 30_000) * PATIENCE;
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
