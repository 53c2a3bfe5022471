import type { StreamEvent } from '../../../src/index.js';

/** Part of a handle that a follower uses. */
interface Readable {
  stream(name: string, options: { form: 'events'; from: number }): AsyncIterable<StreamEvent>;
}

/** A reader that keeps the chunks that count, and continues after each interruption. */
export class StreamFollower {
  readonly problems: string[] = [];
  /** Place at which the follower continues. */
  next = 0;
  private readonly kept = new Map<number, { readonly value: unknown; readonly stepKey: string | undefined }>();

  /** The chunks that count, in the order of their places. */
  get values(): unknown[] {
    return [...this.kept.values()].map(({ value }) => value);
  }

  /**
   * Reads until the end of the stream.
   *
   * @param patience number of events after which the reader leaves and comes back
   * @param isOver true when a reader that failed does not come back
   */
  async follow(handle: Readable, stream: string, patience = Infinity, isOver: () => boolean = () => false): Promise<unknown[]> {
    for (;;) {
      let left = patience;
      try {
        for await (const event of handle.stream(stream, { form: 'events', from: this.next })) {
          if (event.type === 'end') return this.values;
          this.take(event);
          if (--left === 0) break;
        }
      } catch (error) {
        // The database was unavailable.
        if ((error as { code?: string }).code === 'CLOSED' || isOver()) throw error;
      }
    }
  }

  take(event: Exclude<StreamEvent, { type: 'end' }>): void {
    if (event.index < this.next) this.problems.push(`place ${event.index} came after place ${this.next - 1}`);
    this.next = event.index + 1;
    if (event.type === 'chunk') this.kept.set(event.index, event);
    else for (const [index, { stepKey }] of this.kept) if (index >= event.from && stepKey === event.stepKey) this.kept.delete(index);
  }
}
