import type { InboxMessage, InboxRead } from '../store/sql/read-inbox.js';

/** More reads than that are not told apart while transactions of before are open. */
const MAX_UNSETTLED = 16;

/**
 * How far the inbox of a run has been read. Ids come from a sequence, so a message with a smaller id may be committed after one with a larger id has been
 * read: what has been read counts as complete, up to `floor`, only once every transaction of that time has ended. Beyond it, messages that have been read
 * are told by their ids.
 */
export class InboxState {
  floor = 0n;
  /** Messages are left in the table because the run holds as many as it may. */
  hasMore = false;
  /** A read of what was left has been asked for; and once more since. */
  isReading = false;
  isAskedAgain = false;
  /** Up to this id everything was read that could be seen. */
  private cursor = 0n;
  private unsettled: { readonly cursor: bigint; readonly xmax: bigint }[] = [];
  /** Messages that have been read and may be in the table still. */
  private readonly read = new Set<string>();
  /** Those of them that are gone from the table. */
  private gone: string[] = [];

  /** Ids of messages that must not be read again. */
  get known(): Iterable<string> {
    return this.read;
  }

  /** Messages that are gone from the table: a read that begins from now on does not see them. */
  takeGone(): readonly string[] {
    const { gone } = this;
    this.gone = [];
    return gone;
  }

  /** The read that began when these were gone has ended. */
  forget(gone: readonly string[]): void {
    for (const id of gone) this.read.delete(id);
  }

  /** A message has been taken, or dropped, for good. */
  isGone(id: string): void {
    this.gone.push(id);
  }

  /** Notes messages that have been read out of their order. */
  note(messages: readonly InboxMessage[]): void {
    for (const { id } of messages) this.read.add(id);
  }

  /** Notes what was read, and what was left. */
  noteRead({ messages, left, xmin, xmax }: InboxRead, room: number): void {
    this.note(messages);
    // Without room nothing was looked for.
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
