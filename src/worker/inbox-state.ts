import type { InboxMessage, InboxRead } from '../store/sql/read-inbox.js';

/** Most unsettled reads that are distinguished while older transactions are open. */
const MAX_UNSETTLED = 16;

/**
 * Remembers how far the inbox of a run has been read. Ids come from a sequence, so a message with a
 * smaller id may be committed after a larger id was read. Everything up to `floor` counts as
 * complete, because every transaction of that time has ended. Beyond `floor`, the ids of read
 * messages are kept.
 */
export class InboxState {
  floor = 0n;
  /** True when messages are left in the table because the run holds as many as it may. */
  hasMore = false;
  /** A read of the rest was requested; `isAskedAgain` when once more since. */
  isReading = false;
  isAskedAgain = false;
  /** Largest id up to which all visible messages were read. */
  private cursor = 0n;
  private unsettled: { readonly cursor: bigint; readonly xmax: bigint }[] = [];
  /** Ids of read messages that may still be in the table. */
  private readonly read = new Set<string>();
  /** Ids of read messages that have left the table. */
  private gone: string[] = [];

  /** Ids of messages that must not be read again. */
  get known(): Iterable<string> {
    return this.read;
  }

  /**
   * Takes the ids of messages that have left the table: a read that begins from now on does not see
   * them.
   */
  takeGone(): readonly string[] {
    const { gone } = this;
    this.gone = [];
    return gone;
  }

  /** Forgets these messages: a read that began after they left the table has ended. */
  forget(gone: readonly string[]): void {
    for (const id of gone) this.read.delete(id);
  }

  /** Notes that a message was taken, or dropped. */
  noteGone(id: string): void {
    this.gone.push(id);
  }

  /** Notes messages that were read out of order. */
  note(messages: readonly InboxMessage[]): void {
    for (const { id } of messages) this.read.add(id);
  }

  /** Notes the result of a read. */
  noteRead({ messages, left, xmin, xmax }: InboxRead, room: number): void {
    this.note(messages);
    // Without room the read asked for no signals.
    this.hasMore = left !== undefined || room === 0;
    if (room === 0) return;
    const last = left === undefined ? messages.reduce((most, { id }) => (BigInt(id) > most ? BigInt(id) : most), this.cursor) : left - 1n;
    if (last > this.cursor) this.cursor = last;
    const settled = this.unsettled.findLast((each) => each.xmax <= xmin);
    if (settled && settled.cursor > this.floor) this.floor = settled.cursor;
    this.unsettled = this.unsettled.filter((each) => each.xmax > xmin);
    if (this.cursor > (this.unsettled.at(-1)?.cursor ?? this.floor)) this.unsettled.push({ cursor: this.cursor, xmax });
    if (this.unsettled.length > MAX_UNSETTLED) this.unsettled.splice(MAX_UNSETTLED / 2, 1);
  }
}
