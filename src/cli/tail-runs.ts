import { checkRunFilter } from '../client/queries/run-filter.js';
import { sleep } from '../core/timers.js';
import type { RunConditions } from '../core/run-filter.js';
import { isTerminal, RUN_STATUSES } from '../core/run.js';
import { readCreatedSince, readFailedSince, readTailedRuns, type TailedRun, type TailPosition } from '../store/sql/tail-runs.js';
import type { Connection } from './connection.js';
import { EXIT, type ExitCode } from './exit-codes.js';
import { filterOf, timeOf } from './filters.js';
import type { Segment } from './printer.js';
import type { CommandContext } from './action.js';
import { statusSegment } from './status-style.js';
import { exactTime } from './times.js';

const POLL_MS = 500;
const HOUR_MS = 3_600_000;

/** Milliseconds between the start of a transaction, which dates a run, and its latest commit. */
const OVERLAP_MS = 10_000;

/** Maximum number of active runs that are followed. */
const MAX_RUNS = 10_000;

/** New runs per query. */
const PAGE = 1_000;

/** Follows runs that start, end, pause or block. */
export async function tailRuns(context: CommandContext, connection: Connection): Promise<ExitCode> {
  const { given, io, printer } = context;
  const { clock } = connection;
  const conditions = checkRunFilter(filterOf(given, clock.now()), 'filter', 'left out');
  const since = (timeOf(given, 'since', clock.now()) ?? new Date(clock.now() - HOUR_MS)).getTime();
  const { interrupted } = io;
  const follower = new RunFollower(connection, conditions);
  await follower.begin(since);
  printer.note('following runs, Ctrl-C ends ...');
  while (!interrupted.aborted) {
    for (const change of await follower.poll()) {
      if (printer.isJson) await printer.jsonLine(toDocument(change));
      else await printer.line(...cellsOf(change).flatMap((cell) => [cell, '  ']));
    }
    if (follower.isFull) printer.note(`more than ${MAX_RUNS} active runs: only these are followed; a filter selects fewer`);
    await sleep(POLL_MS);
  }
  return EXIT.ok;
}

/** A change of a run. `at` is the time of the change, or of its discovery. */
interface Change {
  readonly at: number;
  readonly what: 'started' | 'status';
  readonly run: TailedRun;
}

/**
 * Finds changes of runs by polling. Every query uses an index, so the cost does not depend on the
 * number of ended runs.
 */
class RunFollower {
  /** Runs that have not ended, with the state that was shown last. */
  private readonly active = new Map<string, TailedRun>();
  /** Creation times of the runs that are known, by id. */
  private readonly known = new Map<string, number>();
  /** Times of the failures that were shown, by the run's id. */
  private readonly failed = new Map<string, number>();
  /** Time from which runs and failures are read: earlier ones are known. */
  private from: number;
  private hasWarned = false;

  constructor(
    private readonly connection: Connection,
    private readonly conditions: RunConditions,
  ) {
    this.from = connection.clock.now() - OVERLAP_MS;
  }

  /**
   * Notes the runs that exist already, without reporting them.
   *
   * @param since milliseconds since the epoch; active runs that were created later are followed
   */
  async begin(since: number): Promise<void> {
    const active = { ...this.conditions, status: RUN_STATUSES.filter((status) => !isTerminal(status)) };
    for (const run of await readCreatedSince(this.connection.database, active, startOf(since), MAX_RUNS)) this.note(run);
    for await (const run of this.created()) this.note(run);
    for (const { id, finishedAt } of await this.readFailures()) this.failed.set(id, finishedAt!);
  }

  /** True once, when there are more active runs than the command follows. */
  get isFull(): boolean {
    if (this.hasWarned || this.active.size < MAX_RUNS) return false;
    this.hasWarned = true;
    return true;
  }

  /** Returns the changes since the last call, oldest first. */
  async poll(): Promise<Change[]> {
    const settled = this.connection.clock.now() - OVERLAP_MS;
    const changes: Change[] = [];
    for await (const run of this.created()) {
      if (this.known.has(run.id)) continue;
      this.note(run);
      changes.push({ at: run.createdAt, what: 'started', run });
      if (hasEnded(run) && run.status !== 'failed') changes.push({ at: endOf(run), what: 'status', run });
    }
    changes.push(...(await this.failures()), ...(await this.statusChanges()));
    this.from = settled;
    for (const times of [this.known, this.failed]) {
      for (const [id, at] of times) if (at < settled && !this.active.has(id)) times.delete(id);
    }
    return changes.sort((a, b) => a.at - b.at);
  }

  private note(run: TailedRun): void {
    this.known.set(run.id, run.createdAt);
    if (!hasEnded(run) && this.active.size < MAX_RUNS) this.active.set(run.id, run);
  }

  /** Reads the runs that were created since `from`, page by page. */
  private async *created(): AsyncGenerator<TailedRun> {
    for (let after = startOf(this.from); ;) {
      const page = await readCreatedSince(this.connection.database, this.conditions, after, PAGE);
      yield* page;
      const last = page.at(-1);
      if (!last || page.length < PAGE) return;
      after = { micros: last.createdAtMicros, id: last.id };
    }
  }

  private async readFailures(): Promise<TailedRun[]> {
    return readFailedSince(this.connection.database, this.conditions, startOf(this.from), MAX_RUNS);
  }

  /** Returns runs that have failed, including runs that were created long ago. */
  private async failures(): Promise<Change[]> {
    const added = (await this.readFailures()).filter(({ id, finishedAt }) => this.failed.get(id) !== finishedAt);
    for (const run of added) {
      this.failed.set(run.id, run.finishedAt!);
      this.active.delete(run.id);
    }
    return added.map((run) => ({ at: endOf(run), what: 'status', run }));
  }

  private async statusChanges(): Promise<Change[]> {
    if (this.active.size === 0) return [];
    const runs = await readTailedRuns(this.connection.database, [...this.active.keys()]);
    const current = new Map(runs.map((run) => [run.id, run]));
    const changes: Change[] = [];
    for (const [id, before] of this.active) {
      const run = current.get(id);
      // The next read of the failures reports a failed run.
      if (run?.status === 'failed') continue;
      if (run && !hasEnded(run)) this.active.set(id, run);
      else this.active.delete(id);
      if (run && stateOf(run) !== stateOf(before))
        changes.push({ at: hasEnded(run) ? endOf(run) : this.connection.clock.now(), what: 'status', run });
    }
    return changes;
  }
}

/** Returns the position before all runs of this time. */
function startOf(ms: number): TailPosition {
  return { micros: Math.floor(ms * 1_000), id: '' };
}

/**
 * Returns when an ended run ended. The process dates the end and the server dates the start, so
 * their clocks could put the end before the start.
 */
function endOf({ createdAt, finishedAt }: TailedRun): number {
  return Math.max(createdAt, finishedAt!);
}

function hasEnded({ status }: TailedRun): boolean {
  return status === 'continued' || isTerminal(status);
}

/** Returns the part of a run's state whose changes are shown. Leaves out claims and suspensions. */
function stateOf(run: TailedRun): string {
  if (run.isBlocked) return 'blocked';
  return hasEnded(run) || run.status === 'paused' ? run.status : 'active';
}

function cellsOf({ at, what, run }: Change): Segment[] {
  const event: Segment =
    what === 'started' ? 'started' : stateOf(run) === 'active' ? 'continues' : statusSegment(run.status, run.isBlocked);
  const reason =
    run.errorCode === null || what === 'started'
      ? ''
      : run.failedStep === null
        ? run.errorCode
        : `${run.errorCode} in step ${run.failedStep}`;
  return [[exactTime(new Date(at)), 'dim'], event, run.id, `${run.name} v${run.version}`, reason];
}

function toDocument({ at, what, run }: Change): unknown {
  const { id: runId, name, version, queue, status, isBlocked: blocked, errorCode, failedStep } = run;
  const event = what === 'started' ? 'started' : stateOf(run);
  return { at: new Date(at), event, runId, name, version, queue, status, blocked, errorCode, failedStep };
}
