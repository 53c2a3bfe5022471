import { ClosedError } from '../core/errors/index.js';
import { fits } from '../core/event.js';
import type { Payloads } from '../core/payloads.js';
import { sleep } from '../core/timers.js';
import { faultOf } from './database-errors.js';
import type { Database } from './database.js';
import type { RunNotifier } from './run-notifier.js';
import {
  armWaits,
  CONDITION_PAGE,
  disarmWaits,
  findCandidates,
  lockReceivers,
  sendEvents,
  type Candidate,
  type WaitKey,
} from './sql/event-waits.js';

/** Maximum number of waits that one statement handles. */
const MAX_BATCH = 200;
/** Milliseconds before another try with a run whose row another transaction has locked. */
const LOCKED_PAUSE_MS = 20;
/** Maximum number of tries with locked runs. The sweep looks for the events of the others. */
const MAX_TRIES = 25;

type Pair = WaitKey & { readonly seq: string };

/**
 * Brings open waits and events together. A wait and an event that become durable at the same time
 * see each other only after their commits, so both sides look: the worker after it has stored a
 * wait, and the dispatcher after the event was stored. Both call `meet`, which gives a wait the
 * oldest event that its run has not received. A second call has no effect.
 */
export class EventMeetings {
  private opening: WaitKey[] = [];
  private working: Promise<void> | undefined;
  private isClosed = false;
  /** Numbers of events whose payloads this process cannot read. Each is read and reported once. */
  private readonly unreadable = new Set<string>();

  constructor(
    private readonly database: Database,
    private readonly payloads: Payloads,
    private readonly notifier: RunNotifier,
    private readonly reports: {
      /** Called with the number of waits that have received an event. */
      met(waits: number): void;
      /** Called when a look failed. The sweep repeats it. */
      failed(error: unknown): void;
      /** Called when the condition of a wait cannot be compared with a payload. */
      unreadable(seq: string, error: unknown): void;
    },
  ) {}

  /** Called when a wait has become durable. Looks for events that happened before. */
  opened(runId: string, stepKey: string): void {
    if (this.isClosed) return;
    this.opening.push({ runId, stepKey });
    this.working ??= this.work().finally(() => (this.working = undefined));
  }

  /** True while a wait has become durable and events were not looked for yet. */
  get isBusy(): boolean {
    return this.working !== undefined;
  }

  /** Resolves when no wait that has become durable is left without a look. */
  async settled(): Promise<void> {
    await this.working;
  }

  /** Begins no further look. The sweep of another process looks for the remaining waits. */
  close(): void {
    this.isClosed = true;
    this.opening = [];
  }

  private async work(): Promise<void> {
    while (this.opening.length > 0) {
      const waits = this.opening.splice(0, MAX_BATCH);
      try {
        await this.meet(waits);
      } catch (error) {
        if (!this.isClosed) this.reports.failed(error);
      }
    }
  }

  /**
   * Gives each open wait the oldest event that it may receive. Waits for which no event is found
   * are marked, so that the sweep does not look again.
   *
   * @returns number of waits that have received an event
   * @throws ClosedError when the application is closed meanwhile
   */
  async meet(waits: readonly WaitKey[]): Promise<number> {
    let met = 0;
    for (let start = 0; start < waits.length; start += MAX_BATCH) met += await this.meetBatch(waits.slice(start, start + MAX_BATCH));
    return met;
  }

  private async meetBatch(waits: readonly WaitKey[]): Promise<number> {
    let met = 0;
    let open = waits;
    for (let tries = 0; open.length > 0; tries++) {
      // The caller must not take the waits for done.
      if (this.isClosed) throw new ClosedError();
      if (tries === MAX_TRIES) {
        await disarmWaits(this.database, open);
        break;
      }
      const { pairs, later, none } = await this.choose(open);
      if (none.length > 0) await armWaits(this.database, none);
      if (pairs.length === 0) break;
      const { sent, left } = await this.send(pairs);
      met += sent.length;
      this.reports.met(sent.length);
      if (sent.length > 0) void this.notifier.notify([...new Set(sent.map(({ runId }) => runId))]);
      const done = new Set(sent.map(textOf));
      open = [...later, ...pairs.filter((pair) => !done.has(textOf(pair)))];
      if (left && sent.length === 0) await sleep(LOCKED_PAUSE_MS);
    }
    return met;
  }

  /**
   * Chooses the oldest event for each open wait. Of several waits of a run that would receive the
   * same event, only one receives it, and the others (`later`) look again.
   */
  private async choose(waits: readonly WaitKey[]): Promise<{ pairs: Pair[]; later: WaitKey[]; none: WaitKey[] }> {
    const pairs: Pair[] = [];
    const later: WaitKey[] = [];
    const none: WaitKey[] = [];
    const taken = new Set<string>();
    let open: readonly (WaitKey & { readonly after: string })[] = waits.map((wait) => ({ ...wait, after: '0' }));
    while (open.length > 0) {
      const next: (WaitKey & { readonly after: string })[] = [];
      for (const candidates of grouped(await findCandidates(this.database, open))) {
        const { runId, stepKey } = candidates[0]!;
        const fitting = candidates.find((each) => each.seq !== null && this.isFitting(each))?.seq;
        if (fitting !== undefined && fitting !== null) {
          const use = `${runId}\n${fitting}`;
          if (taken.has(use)) later.push({ runId, stepKey });
          else pairs.push({ runId, stepKey, seq: fitting });
          taken.add(use);
        } else if (candidates.length === CONDITION_PAGE) next.push({ runId, stepKey, after: candidates.at(-1)!.seq! });
        else none.push({ runId, stepKey });
      }
      open = next;
    }
    return { pairs, later, none };
  }

  private isFitting({ condition, seq, payload }: Candidate): boolean {
    return condition === null || this.matches(condition, seq!, payload!);
  }

  /**
   * True when the payload of the event has the fields of the condition. An event whose payload
   * cannot be read fits no condition, and keeps no other event from its waits.
   */
  matches(condition: string, seq: string, payload: string): boolean {
    if (this.unreadable.has(seq)) return false;
    try {
      return fits(condition, this.payloads.decode(payload, 'payload'));
    } catch (error) {
      if (this.unreadable.size >= MAX_UNREADABLE) this.unreadable.clear();
      this.unreadable.add(seq);
      this.reports.unreadable(seq, error);
      return false;
    }
  }

  /**
   * Sends events to waits. `left` is true when some could not be sent yet, because another
   * transaction has locked their runs or the database refuses a change.
   */
  private async send(pairs: readonly Pair[]): Promise<{ sent: readonly WaitKey[]; left: boolean }> {
    try {
      return await this.database.transaction(async (client) => {
        const ids = pairs.map(({ runId }) => runId);
        const runs = await lockReceivers(this.database, client, ids);
        const free = pairs.filter(({ runId }) => runs.has(runId));
        const sent = free.length > 0 ? await sendEvents(this.database, client, free) : [];
        return { sent, left: free.length < pairs.length };
      });
    } catch (error) {
      const fault = faultOf(error);
      if (fault === 'locked' || fault === 'conflict' || fault === 'cancelled') return { sent: [], left: true };
      if (fault !== 'data') throw error;
      if (pairs.length === 1) {
        this.reports.failed(error);
        return { sent: [], left: true };
      }
      // The database refuses one of these runs. Halving sends the events of the other runs.
      const half = pairs.length >> 1;
      const first = await this.send(pairs.slice(0, half));
      const second = await this.send(pairs.slice(half));
      return { sent: [...first.sent, ...second.sent], left: first.left || second.left };
    }
  }
}

/** Maximum number of unreadable events that one process remembers. */
const MAX_UNREADABLE = 10_000;

function textOf({ runId, stepKey }: WaitKey): string {
  return `${runId}\n${stepKey}`;
}

/** Groups the rows of each wait, which stand together. */
function grouped(candidates: readonly Candidate[]): Candidate[][] {
  const groups: Candidate[][] = [];
  for (const candidate of candidates) {
    const last = groups.at(-1);
    if (last && textOf(last[0]!) === textOf(candidate)) last.push(candidate);
    else groups.push([candidate]);
  }
  return groups;
}
