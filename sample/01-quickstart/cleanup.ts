type Task = () => Promise<unknown>;

/** What has to be closed at the end, whatever the end is: the last opened first, each once. */
export class Cleanup {
  private readonly tasks: Task[] = [];
  private closed = false;

  /** @returns does it now */
  add(task: Task): Task {
    let done: Promise<unknown> | undefined;
    const once: Task = () => (done ??= task());
    if (this.closed) {
      once().catch(() => undefined);
      throw new Error('interrupted');
    }
    this.tasks.unshift(once);
    return once;
  }

  async run(): Promise<void> {
    this.closed = true;
    for (const task of this.tasks) {
      await task().catch((error: unknown) => console.error('Could not clean up:', error));
    }
  }
}
