import type { Database } from '../store/database.js';
import { findMovedRuns } from '../store/sql/owned-runs.js';
import { readChannels, readInboxes, type InboxMessage, type InboxPlace, type InboxRead } from '../store/sql/read-inbox.js';
import { channelOf, outcomeOf } from '../core/message-kinds.js';
import type { OwnedRun } from '../core/run.js';
import { parseEventAddress } from '../core/step-key-format.js';
import type { Pass } from '../engine/pass.js';
import type { InboxState } from './inbox-state.js';

/**
 * Wake counter of an active run whose inbox has not been read. No stored run has this value, so the
 * database refuses to suspend the run. The counter that a claim returns already includes messages
 * that are unread. With that counter, the run could be suspended before it has read them.
 */
export const UNREAD = -1;

/**
 * Maximum number of signals and hook payloads that a run holds in memory. Further messages stay in
 * the table until the run has taken some.
 */
const MAX_HELD_MESSAGES = 100;
const MAX_HELD_LENGTH = 4 * 1024 * 1024;
/**
 * Maximum number of messages that a run may hold when further messages are read for it. While an
 * old transaction is open anywhere on the server, each read must skip the messages that the run
 * already holds. Skipping would be slow for a run that holds many.
 */
const FEW_HELD_MESSAGES = MAX_HELD_MESSAGES / 4;
/** Maximum number of inboxes that one statement reads. */
const MAX_BATCH_RUNS = 50;

/** An active run, to which messages are delivered. */
export interface MessageReceiver {
  readonly run: OwnedRun;
  readonly pass: Pass;
  readonly inbox: InboxState;
  wakeCount: number;
  /** True when an operator wants the run to pause. */
  readonly isPausing: boolean;
  pause(): void;
  unpause(): void;
  /** Called when the inbox has been read and its messages have been delivered. */
  inboxRead(): void;
}

/** A run whose inbox is to be read, with the wake counter that was read before the inbox. */
interface Due {
  readonly id: string;
  /** Undefined when no new message is known and only messages left in the table are to be read. */
  readonly wakeCount: number | undefined;
}

/**
 * Delivers messages from the inbox table to the active runs of this process. Reads one batch at a
 * time, and only as many messages as the runs can hold.
 */
export class InboxReader {
  /** Ids of runs whose wake counters are to be compared with the database. */
  private readonly asked = new Set<string>();
  private checking: Promise<void> | undefined;
  private reading: Promise<void> = Promise.resolve();

  constructor(
    private readonly database: Database,
    private readonly sessionId: () => string | undefined,
    private readonly executions: ReadonlyMap<string, MessageReceiver>,
    private readonly failed: (error: unknown) => void,
  ) {}

  /**
   * Delivers new messages to the given runs. Ignores runs that this process does not execute. All
   * calls during a check share one further check.
   */
  check(runIds: readonly string[]): Promise<void> {
    for (const id of runIds) if (this.executions.has(id)) this.asked.add(id);
    const after = this.checking;
    this.checking ??= this.checkAll().finally(() => (this.checking = undefined));
    return after ? after.then(() => this.checking) : this.checking;
  }

  /** Delivers new messages to this run in the background. A failure is only reported. */
  checkSoon(runId: string): void {
    this.check([runId]).catch(this.failed);
  }

  /** Delivers the new messages of runs whose wake counters have just been read. */
  async deliver(runs: readonly { readonly id: string; readonly wakeCount: number }[]): Promise<void> {
    if (runs.length > 0) await this.enqueue(runs);
  }

  /**
   * Reads messages that were left in the table, if the run has room for more or waits for one of
   * them.
   */
  readMore(execution: MessageReceiver): void {
    const { inbox, run } = execution;
    if (inbox.isReading) {
      inbox.isAskedAgain = true;
      return;
    }
    if (!hasRoom(execution) && !isMissingSome(execution)) return;
    inbox.isReading = true;
    inbox.isAskedAgain = false;
    const ended = (): void => {
      inbox.isReading = false;
      if (inbox.isAskedAgain && inbox.hasMore) this.readMore(execution);
    };
    this.enqueue([{ id: run.id, wakeCount: undefined }]).then(ended, (error: unknown) => {
      inbox.isReading = false;
      this.failed(error);
      // With this value, the next comparison with the database reads the inbox again. Otherwise the
      // run could wait for ever.
      execution.wakeCount = UNREAD;
    });
  }

  private async checkAll(): Promise<void> {
    while (this.asked.size > 0) {
      const ids = [...this.asked];
      this.asked.clear();
      const session = this.sessionId();
      const seen = ids.flatMap((id) => this.executions.get(id) ?? []).map(({ run, wakeCount }) => ({ id: run.id, wakeCount }));
      if (session !== undefined && seen.length > 0) await this.deliver(await findMovedRuns(this.database, session, seen));
    }
  }

  private enqueue(runs: readonly Due[]): Promise<void> {
    const read = this.reading.then(async () => {
      for (let start = 0; start < runs.length; start += MAX_BATCH_RUNS) await this.read(runs.slice(start, start + MAX_BATCH_RUNS));
    });
    this.reading = read.catch(() => undefined);
    return read;
  }

  private async read(runs: readonly Due[]): Promise<void> {
    const held = runs.flatMap(({ id, wakeCount }) => {
      const execution = this.executions.get(id);
      return execution ? [{ execution, wakeCount, place: placeOf(execution), gone: execution.inbox.takeGone() }] : [];
    });
    if (held.length === 0) return;
    const known = held.flatMap(({ execution }) => [...execution.inbox.known]);
    const reads = new Map(
      (
        await readInboxes(
          this.database,
          held.map(({ place }) => place),
          known,
        )
      ).map((read) => [read.runId, read]),
    );
    for (const { execution, wakeCount, place, gone } of held) {
      if (this.executions.get(execution.run.id) !== execution) continue;
      const read = reads.get(execution.run.id)!;
      execution.inbox.forget(gone);
      for (const id of gone) execution.pass.forgetMessage(id);
      // Set the counter only after the read: a failed read must not make its messages count as
      // read.
      if (wakeCount !== undefined) execution.wakeCount = Math.max(execution.wakeCount, wakeCount);
      this.take(execution, read, place);
      execution.inboxRead();
      if (wakeCount !== undefined && read.messages.length === 0) await this.readBelow(execution);
      await this.readMissing(execution);
    }
  }

  private take(execution: MessageReceiver, read: InboxRead, { room }: InboxPlace): void {
    execution.inbox.noteRead(read, room);
    if (execution.isPausing && !read.messages.some(({ kind }) => kind === 'pause')) execution.unpause();
    for (const message of read.messages) deliverTo(execution, message);
  }

  /**
   * Reads the whole inbox when the wake counter increased but the read found no new message. An
   * earlier read may have found the message, and then nothing is missing. Or the id of the message
   * is not above the floor: its sender drew the id before its transaction got a number. Runs
   * without an open wait are skipped: once such a run waits for the message, the inbox sweep finds
   * it.
   */
  private async readBelow(execution: MessageReceiver): Promise<void> {
    const { inbox } = execution;
    if (inbox.hasMore || inbox.floor === 0n || !isMissingSome(execution)) return;
    const place = { ...placeOf(execution), floor: 0n };
    const [read] = await readInboxes(this.database, [place], [...inbox.known]);
    if (this.executions.get(execution.run.id) === execution) this.take(execution, read!, place);
  }

  /**
   * Reads messages for open waits that have no message in memory. Reading in the order of ids may
   * not reach them, because the inbox may begin with many messages that the run never takes.
   */
  private async readMissing(execution: MessageReceiver): Promise<void> {
    const { inbox, pass, run } = execution;
    const missing = [...pass.messages.missing()];
    if (!inbox.hasMore || missing.length === 0) return;
    const room = { count: FEW_HELD_MESSAGES, bytes: MAX_HELD_LENGTH };
    const messages = await readChannels(this.database, run.id, missing, [...inbox.known], room);
    if (this.executions.get(run.id) !== execution) return;
    inbox.note(messages);
    for (const message of messages) deliverTo(execution, message);
  }
}

/**
 * Returns the id from which the next read of a run begins, and the number of messages and bytes
 * that fit. A run that holds nothing may always read one message, however large.
 */
function placeOf(execution: MessageReceiver): InboxPlace {
  const { run, inbox, pass } = execution;
  const { count, length } = pass.messages.load;
  const isFull = count > 0 && !hasRoom(execution);
  return { runId: run.id, floor: inbox.floor, room: isFull ? 0 : MAX_HELD_MESSAGES - count, bytes: Math.max(1, MAX_HELD_LENGTH - length) };
}

/** True when the run holds so few messages that more may be read. */
function hasRoom({ pass }: MessageReceiver): boolean {
  const { count, length } = pass.messages.load;
  return count === 0 || (count <= FEW_HELD_MESSAGES && length <= MAX_HELD_LENGTH / 4);
}

/** True when the run has an open wait and no message for the wait in memory. */
function isMissingSome({ pass }: MessageReceiver): boolean {
  return [...pass.messages.missing()].length > 0;
}

function deliverTo(execution: MessageReceiver, { id, kind, name, payload, traceContext }: InboxMessage): void {
  const { pass } = execution;
  if (kind === 'pause') return execution.pause();
  if (kind === 'cancel') {
    const { reason } = payload === null ? { reason: undefined } : (JSON.parse(payload) as { reason?: string });
    return pass.cancel(id, reason);
  }
  if (kind === 'event') {
    const { seq, stepKey } = parseEventAddress(name!);
    return pass.receive({ id, channel: channelOf(kind, stepKey), payload: payload ?? 'null', outcome: 'value', traceContext, event: seq });
  }
  const message = { id, channel: channelOf(kind, name!), payload: payload ?? 'null', outcome: outcomeOf(kind), traceContext };
  if (kind === 'resolve' || kind === 'resolve_failed') return pass.resolve(name!, message);
  pass.receive(message);
}
