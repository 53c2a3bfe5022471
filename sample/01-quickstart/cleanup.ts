import { setTimeout as sleep } from 'node:timers/promises';

type Close = () => Promise<unknown>;

const TIMEOUT_MS = 10_000;

/** Closes resources when the sample ends, however it ends: the last opened first, each once. */
export class Cleanup {
  private readonly tasks: Close[] = [];
  private closed = false;

  /**
   * Opens a resource that is closed at the end, also when the end comes while the resource is
   * opening.
   *
   * @returns the resource, and a function that closes it earlier
   */
  async opened<T>(open: () => Promise<T>, close: (resource: T) => Promise<unknown>): Promise<[T, Close]> {
    if (this.closed) throw new Error('interrupted');
    const opening = open();
    let done: Promise<unknown> | undefined;
    const once: Close = () => (done ??= opening.then(close));
    this.tasks.unshift(() => opening.then(once, () => undefined));
    return [await opening, once];
  }

  async run(): Promise<void> {
    this.closed = true;
    for (const task of this.tasks) {
      const late = sleep(TIMEOUT_MS, undefined, { ref: false }).then(() =>
        Promise.reject(new Error(`not closed after ${TIMEOUT_MS / 1_000} s`)),
      );
      await Promise.race([task(), late]).catch((error: unknown) => console.error('Could not clean up:', error));
    }
  }
}
