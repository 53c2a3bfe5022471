import { createHash } from 'node:crypto';

import { Cron } from 'croner';

import type { Timing } from './schedule-types.js';

/** Number of parsed cron expressions that a process keeps. */
const MAX_PARSED = 1_000;

/** Parsed cron expressions, by expression and zone. Parsing takes longer than a computation. */
const parsed = new Map<string, Cron>();

/**
 * Parses a cron expression. Times that have neither `*` nor `/` in their seconds, minutes and hours
 * are due once a day also when clocks change; other times follow the clock.
 */
export function parseCron(expression: string, timezone: string): Cron {
  const key = `${timezone} ${expression}`;
  let cron = parsed.get(key);
  if (!cron) {
    cron = new Cron(expression, { timezone, paused: true, mode: '5-or-6-parts', fixedTimeRule: 'no-wildcard' });
    if (parsed.size >= MAX_PARSED) parsed.delete(parsed.keys().next().value!);
    parsed.set(key, cron);
  }
  return cron;
}

/** Computes the times at which a schedule is due. All times are milliseconds since the epoch. */
export class DueTimes {
  /**
   * @param anchor moment from which the periods of `every` count
   */
  constructor(
    private readonly timing: Timing,
    private readonly anchor: number,
  ) {}

  /** Returns the first due time after `after`; null after the last one. */
  next(after: number): number | null {
    const { startAt, endAt } = this.timing;
    const due = this.nextUnbounded(startAt === null ? after : Math.max(after, startAt - 1));
    return due === null || (endAt !== null && due >= endAt) ? null : due;
  }

  /** Returns the last due times from `from` on and before `before`, oldest first. */
  previous(limit: number, from: number, before: number): number[] {
    const { startAt, endAt } = this.timing;
    const first = startAt === null ? from : Math.max(from, startAt);
    const end = endAt === null ? before : Math.min(before, endAt);
    if (end <= first) return [];
    const found: number[] = [];
    for (let due = this.before(end); found.length < limit && due !== null && due >= first; due = this.before(due)) found.push(due);
    return found.toReversed();
  }

  /** Milliseconds by which runs start after a due time, the same in every process. */
  jitterOf(name: string, due: number): number {
    const { jitterMs } = this.timing;
    if (jitterMs === 0) return 0;
    return createHash('sha256').update(`${name}\n${due}`).digest().readUInt32BE() % jitterMs;
  }

  private nextUnbounded(after: number): number | null {
    const { cron, everyMs, timezone } = this.timing;
    if (cron !== null) return parseCron(cron, timezone).nextRun(new Date(after))?.getTime() ?? null;
    const periods = Math.floor((after - this.anchor) / everyMs!) + 1;
    return this.anchor + Math.max(periods, this.timing.startAt === null ? 1 : 0) * everyMs!;
  }

  /** Returns the last due time before `time`, without regard to the end of the schedule. */
  private before(time: number): number | null {
    const { cron, everyMs, timezone, startAt } = this.timing;
    if (cron !== null) return parseCron(cron, timezone).previousRuns(1, new Date(time))[0]?.getTime() ?? null;
    const period = Math.ceil((time - this.anchor) / everyMs!) - 1;
    return period < (startAt === null ? 1 : 0) ? null : this.anchor + period * everyMs!;
  }
}
