import type { Database } from '../store/database.js';
import { findMovedRuns } from '../store/sql/owned-runs.js';
import { readChannels, readInboxes, type InboxMessage, type InboxPlace, type InboxRead } from '../store/sql/read-inbox.js';
import type { OwnedRun } from '../core/run.js';
import type { Pass } from '../engine/pass.js';
import type { InboxState } from './inbox-state.js';

/**
 * Wake counter that no run can have. Keeps a claimed run from being suspended before its inbox was
 * read: the counter that the claim found includes messages that this process has not seen.
 */
export const UNREAD = -1;

/**
 * Most signals and hook payloads that a run holds in memory. The rest stays in the table until the
 * run has taken some.
 */
const MAX_HELD = 100;
const MAX_HELD_LENGTH = 4 * 1024 * 1024;
/**
 * Number of held messages up to which more are read. While an old transaction anywhere on the
 * server keeps reads from being settled, each read skips what the run holds: a run that holds many
 * is not read.
 */
const FEW_HELD = MAX_HELD / 4;
/** Inboxes that one statement reads. */
const BATCH = 50;

/** An active run that receives messages. */
export interface MessageReceiver {
  readonly run: OwnedRun;
  readonly pass: Pass;
  readonly inbox: InboxState;
  wakeCount: number;
  /** True when an operator wants the run to pause. */
  readonly isPausing: boolean;
  pause(): void;
  unpause(): void;
  /** The inbox has been read, and the messages in it were delivered. */
  inboxRead(): void;
}

/** A run whose inbox is to be read, and the wake counter that was read before the inbox. */
interface Due {
  readonly id: string;
  /** Undefined where no new message is known, but more messages are left in the table. */
  readonly wakeCount: number | undefined;
}

/**
 * Delivers messages from the inbox table to the active runs of this process. Reads one batch at a
 * time, and no more than the runs can hold.
 */
export class InboxReader {
  /** Ids of runs to be checked. */
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
   * Delivers new messages to these runs, as far as this process has them. All requests that arrive
   * during a check share the check after it.
   */
  check(runIds: readonly string[]): Promise<void> {
    for (const id of runIds) if (this.executions.has(id)) this.asked.add(id);
    const after = this.checking;
    this.checking ??= this.checkAll().finally(() => (this.checking = undefined));
    return after ? after.then(() => this.checking) : this.checking;
  }

  /** Delivers new messages to this run in the background. Only reports a failure. */
  checkSoon(runId: string): void {
    this.check([runId]).catch(this.failed);
  }

  /** Delivers the messages of runs whose wake counters were just read. */
  async deliver(runs: readonly { readonly id: string; readonly wakeCount: number }[]): Promise<void> {
    if (runs.length > 0) await this.enqueue(runs);
  }

  /**
   * Reads the messages that were left in the table, where the run has room for more or waits for
   * one of them.
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
      // The next comparison with the owned runs reads the inbox: the run must not wait for ever.
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
      for (let start = 0; start < runs.length; start += BATCH) await this.read(runs.slice(start, start + BATCH));
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
      // Only now: after a failed read the counter must not count the messages as read.
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
   * Reads the whole inbox when the counter moved and the read found nothing new. Either the message
   * was found before, or its sender had its id, and no transaction yet, when a later id was read. A
   * run with no open wait can do without the message until the sweep finds it.
   */
  private async readBelow(execution: MessageReceiver): Promise<void> {
    const { inbox } = execution;
    if (inbox.hasMore || inbox.floor === 0n || !isMissingSome(execution)) return;
    const place = { ...placeOf(execution), floor: 0n };
    const [read] = await readInboxes(this.database, [place], [...inbox.known]);
    if (this.executions.get(execution.run.id) === execution) this.take(execution, read!, place);
  }

  /** Reads messages for open waits, which may stand behind messages that the run never takes. */
  private async readMissing(execution: MessageReceiver): Promise<void> {
    const { inbox, pass, run } = execution;
    const missing = [...pass.mail.missing()];
    if (!inbox.hasMore || missing.length === 0) return;
    const room = { count: FEW_HELD, bytes: MAX_HELD_LENGTH };
    const messages = await readChannels(this.database, run.id, missing, [...inbox.known], room);
    if (this.executions.get(run.id) !== execution) return;
    inbox.note(messages);
    for (const message of messages) deliverTo(execution, message);
  }
}

/**
 * Returns where the next read of a run begins, and how much room the run has. A run that holds
 * little takes any one message.
 */
function placeOf(execution: MessageReceiver): InboxPlace {
  const { run, inbox, pass } = execution;
  const { count, length } = pass.mail.load;
  const isFull = count > 0 && !hasRoom(execution);
  return { runId: run.id, floor: inbox.floor, room: isFull ? 0 : MAX_HELD - count, bytes: Math.max(1, MAX_HELD_LENGTH - length) };
}

/** True when the run holds few enough messages to read more. */
function hasRoom({ pass }: MessageReceiver): boolean {
  const { count, length } = pass.mail.load;
  return count === 0 || (count <= FEW_HELD && length <= MAX_HELD_LENGTH / 4);
}

/** True when a wait of the run is open for which no message is here. */
function isMissingSome({ pass }: MessageReceiver): boolean {
  return [...pass.mail.missing()].length > 0;
}

function deliverTo(execution: MessageReceiver, { id, kind, name, payload }: InboxMessage): void {
  const { pass } = execution;
  switch (kind) {
    case 'cancel': {
      const { reason } = payload === null ? { reason: undefined } : (JSON.parse(payload) as { reason?: string });
      return pass.cancel(id, reason);
    }
    case 'signal':
    case 'hook':
    case 'child':
      return pass.receive({ id, channel: `${kind}:${name}`, payload: payload ?? 'null', outcome: 'value' });
    case 'pause':
      return execution.pause();
    case 'resolve':
      return pass.resolve(name!, { id, channel: `${kind}:${name}`, payload: payload ?? 'null', outcome: 'value' });
    case 'resolve_failed':
      return pass.resolve(name!, { id, channel: `resolve:${name}`, payload: payload ?? 'null', outcome: 'error' });
    case 'child_failed':
      return pass.receive({ id, channel: `child:${name}`, payload: payload ?? 'null', outcome: 'error' });
  }
}
