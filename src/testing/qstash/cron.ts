import { badRequest } from './api-error.js';

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
/**
 * Milliseconds in a quarter of an hour. The offset of a time zone from UTC changes only at full
 * quarters of an hour. One offset for each quarter is therefore computed and cached.
 */
const QUARTER_HOUR_MS = 15 * MINUTE_MS;
/**
 * Maximum number of milliseconds to search for the next time. The rarest date, 29 February, comes
 * back within eight years.
 */
const SEARCH_LIMIT_MS = 9 * 366 * DAY_MS;
const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const WEEKDAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];

interface Field {
  readonly from: number;
  readonly to: number;
  readonly names: readonly string[];
}

const FIELDS = {
  minute: { from: 0, to: 59, names: [] },
  hour: { from: 0, to: 23, names: [] },
  day: { from: 1, to: 31, names: [] },
  month: { from: 1, to: 12, names: MONTHS },
  weekday: { from: 0, to: 7, names: WEEKDAYS },
} as const satisfies Record<string, Field>;

/**
 * Cron expression with five fields, such as `0 9 * * 1-5`. The times are in UTC, or in the time
 * zone that a leading `CRON_TZ=` names.
 */
export class Cron {
  private readonly minutes: ReadonlySet<number>;
  private readonly hours: ReadonlySet<number>;
  private readonly days: ReadonlySet<number>;
  private readonly months: ReadonlySet<number>;
  private readonly weekdays: ReadonlySet<number>;
  private readonly isDayRestricted: boolean;
  private readonly isWeekdayRestricted: boolean;
  private readonly zone: Zone;

  /**
   * Parses a cron expression.
   *
   * @throws ApiError when the text is not a valid expression
   */
  constructor(readonly text: string) {
    const [, zone, rest] = /^(?:(?:CRON_)?TZ=(\S+)\s+)?(.*)$/.exec(text.trim())!;
    const fields = rest!.trim().split(/\s+/);
    if (fields.length !== 5) throw this.refusal();
    const [minute, hour, day, month, weekday] = fields as [string, string, string, string, string];
    this.zone = new Zone(zone ?? 'UTC');
    this.minutes = this.parse(minute, FIELDS.minute);
    this.hours = this.parse(hour, FIELDS.hour);
    this.days = this.parse(day, FIELDS.day);
    this.months = this.parse(month, FIELDS.month);
    this.weekdays = new Set([...this.parse(weekday, FIELDS.weekday)].map((number) => number % 7));
    this.isDayRestricted = !day.startsWith('*');
    this.isWeekdayRestricted = !weekday.startsWith('*');
  }

  /**
   * Returns the first matching time after `after`; undefined when no date ever matches, as for 31
   * February.
   */
  next(after: number): number | undefined {
    let time = (Math.floor(after / MINUTE_MS) + 1) * MINUTE_MS;
    for (const end = after + SEARCH_LIMIT_MS; time < end;) {
      const local = new Date(time + this.zone.offsetAt(time));
      if (!this.matchesDay(local)) time = this.nextMidnight(time, local);
      else if (!this.hours.has(local.getUTCHours())) time += (60 - local.getUTCMinutes()) * MINUTE_MS;
      else if (!this.minutes.has(local.getUTCMinutes())) time += MINUTE_MS;
      else return time;
    }
    return undefined;
  }

  /**
   * Returns true when the day matches. When the expression restricts both the day of the month and
   * the day of the week, the day needs to match only one of them.
   */
  private matchesDay(local: Date): boolean {
    if (!this.months.has(local.getUTCMonth() + 1)) return false;
    const [day, weekday] = [this.days.has(local.getUTCDate()), this.weekdays.has(local.getUTCDay())];
    return this.isDayRestricted && this.isWeekdayRestricted ? day || weekday : day && weekday;
  }

  private nextMidnight(time: number, local: Date): number {
    const midnight = time + DAY_MS - (local.getTime() % DAY_MS);
    const shift = this.zone.offsetAt(midnight) - this.zone.offsetAt(time);
    // Correct for a change between summer and winter time on this day. If the clocks go back,
    // midnight comes later. If the clocks go forward, midnight comes earlier, and the next day's
    // first hour must not be skipped.
    return Math.max(midnight - shift, time + MINUTE_MS);
  }

  private parse(text: string, field: Field): ReadonlySet<number> {
    const numbers = new Set<number>();
    for (const part of text.toLowerCase().split(',')) {
      const match = /^(\*|\w+)(?:-(\w+))?(?:\/(\d+))?$/.exec(part);
      if (!match) throw this.refusal();
      const [, first, last, step] = match;
      if (first === '*' && last !== undefined) throw this.refusal();
      const from = first === '*' ? field.from : this.number(first!, field);
      const single = first !== '*' && step === undefined ? from : field.to;
      const to = last === undefined ? single : this.number(last, field);
      const increment = Number(step ?? 1);
      if (from > to || increment < 1) throw this.refusal();
      for (let number = from; number <= to; number += increment) numbers.add(number);
    }
    return numbers;
  }

  private number(text: string, { from, to, names }: Field): number {
    const named = names.indexOf(text);
    const number = named >= 0 ? named + from : Number(text);
    if (!Number.isInteger(number) || number < from || number > to) throw this.refusal();
    return number;
  }

  private refusal(): Error {
    return badRequest(`invalid cron expression: ${this.text}`);
  }
}

/** Time zone, with its offsets from UTC. */
class Zone {
  private readonly format: Intl.DateTimeFormat | undefined;
  private readonly offsets = new Map<number, number>();

  /**
   * Creates a time zone from its name.
   *
   * @throws ApiError when the time zone is unknown
   */
  constructor(name: string) {
    if (name === 'UTC') return;
    try {
      const [numeric, options] = ['numeric', { timeZone: name, hourCycle: 'h23' }] as const;
      this.format = new Intl.DateTimeFormat('en-US', {
        ...options,
        year: numeric,
        month: numeric,
        day: numeric,
        hour: numeric,
        minute: numeric,
      });
    } catch {
      throw badRequest(`invalid time zone: ${name}`);
    }
  }

  offsetAt(time: number): number {
    if (!this.format) return 0;
    const slot = Math.floor(time / QUARTER_HOUR_MS) * QUARTER_HOUR_MS;
    let offset = this.offsets.get(slot);
    if (offset === undefined) {
      const parts = Object.fromEntries(this.format.formatToParts(slot).map(({ type, value }) => [type, Number(value)]));
      offset = Date.UTC(parts['year']!, parts['month']! - 1, parts['day'], parts['hour'], parts['minute']) - slot;
      if (this.offsets.size > 1_000) this.offsets.clear();
      this.offsets.set(slot, offset);
    }
    return offset;
  }
}
