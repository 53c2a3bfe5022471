import type { InboxMessage, InboxRead } from '../store/sql/read-inbox.js';

/**
 * Maximum number of reads to remember while older transactions are open, which may still commit
 * messages with smaller ids.
 */
const MAX_UNSETTLED = 16;

/**
 * Remembers which messages in a run's inbox have been read. Ids come from a sequence, so a message
 * with a smaller id may be committed after a larger id was read. Up to the id `floor` no message
 * can be missing: every transaction that could still commit such an id has ended. Beyond `floor`,
 * the id of each read message is kept.
 */
export class InboxState {
  floor = 0n;
  /** True when messages were left in the table because the run holds the maximum number. */
  hasMore = false;
  /**
   * True while the messages left in the table are being read. `isAskedAgain` is true when another
   * read was requested during that time.
   */
  isReading = false;
  isAskedAgain = false;
  /** Largest id up to which all visible messages were read. */
  private cursor = 0n;
  private unsettled: { readonly cursor: bigint; readonly xmax: bigint }[] = [];
  /** Ids of messages that have been read and may still be in the table. */
  private readonly read = new Set<string>();
  /** Ids of messages that have been read and have since left the table. */
  private gone: string[] = [];

  /** Ids of messages that must not be read again. */
  get known(): Iterable<string> {
    return this.read;
  }

  /**
   * Returns and clears the list of messages that have left the table. A read that begins after this
   * call cannot find those messages.
   */
  takeGone(): readonly string[] {
    const { gone } = this;
    this.gone = [];
    return gone;
  }

  /**
   * Forgets messages that have left the table. Called at the end of a read, for the messages that
   * had left before the read began.
   */
  forget(gone: readonly string[]): void {
    for (const id of gone) this.read.delete(id);
  }

  /** Records that a message has left the table, because it was taken or dropped. */
  noteGone(id: string): void {
    this.gone.push(id);
  }

  /** Records the ids of messages that were read. */
  note(messages: readonly InboxMessage[]): void {
    for (const { id } of messages) this.read.add(id);
  }

  /** Records the result of a read. */
  noteRead({ messages, left, xmin, xmax }: InboxRead, room: number): void {
    this.note(messages);
    // A run without room reads no signals, so some may be left.
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
