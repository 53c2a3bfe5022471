import type { TimelineRow } from './rows.js';

/** Maps times to places on the timeline, from 0 to 1. */
export interface Scale {
  readonly place: (ms: number) => number;
  /** Times at which a line with a label is drawn. */
  readonly ticks: readonly number[];
  /** Long waits that are drawn shorter than they were. */
  readonly cuts: readonly Cut[];
  readonly from: number;
  readonly to: number;
}

export interface Cut {
  readonly from: number;
  readonly to: number;
}

/** Share of the timeline that a shortened wait takes. */
const CUT_SHARE = 0.06;
/** A time without activity is shortened when it is longer than this share of the whole. */
const LEAST_CUT = 0.25;
/** Milliseconds up to which a time without activity is never shortened. */
const LEAST_CUT_MS = 5_000;
const MAX_CUTS = 8;

/**
 * Returns the scale of a timeline. Waits of days would leave no room for steps of milliseconds, so
 * long times in which only waits were open are shortened.
 *
 * @param cutting `'long waits'` shortens them, `'nothing'` draws all times to scale
 */
export function scaleOf(rows: readonly TimelineRow[], from: number, to: number, cutting: 'long waits' | 'nothing'): Scale {
  const end = Math.max(to, from + 1);
  const cuts = cutting === 'nothing' ? [] : longIdleTimes(rows, from, end);
  const kept = end - from - cuts.reduce((sum, cut) => sum + cut.to - cut.from, 0);
  const share = 1 - cuts.length * CUT_SHARE;
  const place = (ms: number): number => {
    let at = 0;
    let before = from;
    const time = Math.min(Math.max(ms, from), end);
    for (const cut of cuts) {
      if (time <= cut.from) break;
      at += ((cut.from - before) / kept) * share;
      if (time < cut.to) return at + ((time - cut.from) / (cut.to - cut.from)) * CUT_SHARE;
      at += CUT_SHARE;
      before = cut.to;
    }
    return Math.min(1, at + ((time - before) / kept) * share);
  };
  return { place, ticks: ticksOf(from, end, cuts, place), cuts, from, to: end };
}

/** Finds the long times in which no step was executed. */
function longIdleTimes(rows: readonly TimelineRow[], from: number, to: number): Cut[] {
  const busy = rows
    .flatMap(({ kind, from: begun, to: ended, failures, state }) => {
      const end = ended ?? to;
      if (kind === 'wait' || kind === 'child')
        return [
          [begun, begun],
          [end, end],
        ];
      // A step with failed attempts waits between them.
      if (failures.length > 0) return [begun, ...failures, state === 'open' ? begun : end].map((at) => [at, at]);
      return [[begun, end]];
    })
    .sort((a, b) => a[0]! - b[0]!);
  const idle: Cut[] = [];
  let last = from;
  for (const [begun, ended] of [...busy, [to, to]]) {
    if (begun! > last) idle.push({ from: last, to: begun! });
    last = Math.max(last, ended!);
  }
  const whole = to - from;
  const chosen = idle.filter((cut) => cut.to - cut.from > Math.max(LEAST_CUT_MS, whole * LEAST_CUT)).slice(0, MAX_CUTS);
  // When nothing but idle time is left, there is nothing to make room for.
  const rest = whole - chosen.reduce((sum, cut) => sum + cut.to - cut.from, 0);
  return rest < 1 ? [] : chosen;
}

const STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500];
const LONG_STEPS = [
  1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 21_600, 43_200, 86_400, 172_800, 604_800, 2_592_000, 31_536_000,
];
const TICKS = [...STEPS, ...LONG_STEPS.map((each) => each * 1_000)];
const MAX_TICKS = 6;

/** Chooses round times for the lines of the timeline, as offsets from its beginning. */
function ticksOf(from: number, to: number, cuts: readonly Cut[], place: (ms: number) => number): number[] {
  const kept = to - from - cuts.reduce((sum, cut) => sum + cut.to - cut.from, 0);
  const step = TICKS.find((each) => kept / each <= MAX_TICKS) ?? TICKS.at(-1)!;
  const ticks: number[] = [];
  let last = -1;
  for (let at = from; at <= to && ticks.length < 12; at += step) {
    const cut = cuts.find((each) => at > each.from && at < each.to);
    if (cut) {
      // The next round time behind the shortened wait.
      at = from + Math.ceil((cut.to - from) / step) * step - step;
      continue;
    }
    if (place(at) - last < 0.09 && last !== -1) continue;
    ticks.push(at);
    last = place(at);
  }
  return ticks;
}
