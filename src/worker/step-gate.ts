import type { ClockAlarm, DatabaseClock } from '../core/clock.js';
import { clearTimeout, setTimeout } from '../core/timers.js';
import type { LimitedStep } from '../engine/step-limits-port.js';
import type { GivenPlace, GivenPlaces, PlacedStep } from '../store/sql/step-places.js';

/** Milliseconds between two requests while other processes have all places. */
const FIRST_PAUSE_MS = 15;
const LONGEST_PAUSE_MS = 200;
/** Shortest pause, even if a place of this process comes back meanwhile. */
const SHORTEST_PAUSE_MS = 5;
/**
 * Longest pause until the rate limit opens, because the limits of the gate may change meanwhile.
 */
const LONGEST_RATE_PAUSE_MS = 1_000;
/** Milliseconds before its slot of a rate limit at which a step gets the slot. */
export const AHEAD_MS = 500;
/** Largest number of steps of one request. */
const MOST_STEPS = 500;

/** Statements of a gate, and what becomes of the steps that get a place. */
export interface StepGatePort {
  /** Asks for places. Resolves with undefined when the statement failed or there is no session. */
  take(steps: readonly PlacedStep[]): Promise<GivenPlaces | undefined>;
  permit(step: LimitedStep, place: GivenPlace): void;
  /** Gives places back that the steps may have. Never rejects. */
  release(steps: readonly PlacedStep[]): void;
  readonly clock: Pick<DatabaseClock, 'now' | 'at'>;
  /** Called when no step waits any more. */
  idle(): void;
}

interface Waiting {
  readonly step: LimitedStep;
  /** True when a request failed: its answer may have been lost, with a place. */
  mayHavePlace: boolean;
}

/**
 * Steps of this process that wait for one limit, in a line for each key. One request asks for all
 * lines, so the number of statements does not grow with the number of keys.
 */
export class StepGate {
  private readonly lines = new Map<string, Waiting[]>();
  private isWorking = false;
  /** Reason of the pause; undefined while a request is in progress. */
  private pausesFor: 'slot' | 'place' | undefined;
  /** Ends the pause. Undefined while the gate does not pause, and in the shortest pause. */
  private wake: (() => void) | undefined;
  /** True when a place or a key has come up since the last request was made. */
  private isStale = false;

  constructor(private readonly port: StepGatePort) {}

  add(step: LimitedStep): void {
    const line = this.lines.get(step.queueKey);
    const waiting = { step, mayHavePlace: false };
    if (line) line.push(waiting);
    else {
      this.lines.set(step.queueKey, [waiting]);
      this.changed();
    }
    if (!this.isWorking) void this.work();
  }

  /** Requests places at once: this process has given a place back, or another key waits. */
  changed(): void {
    this.isStale = true;
    this.wake?.();
  }

  /** Steps that wait until the rate limit allows more, or until another step gives a place back. */
  waitingFor(what: 'slot' | 'place'): readonly LimitedStep[] {
    return this.pausesFor === what ? [...this.lines.values()].flatMap((line) => line.map(({ step }) => step)) : [];
  }

  private async work(): Promise<void> {
    this.isWorking = true;
    // Waits for a microtask, so that steps of the same code share one statement.
    await Promise.resolve();
    let pauseMs = FIRST_PAUSE_MS;
    for (let asked = this.next(); asked.length > 0; asked = this.next()) {
      this.isStale = false;
      const answer = await this.port.take(asked.map(({ step }) => step));
      if (!answer) for (const waiting of asked) waiting.mayHavePlace = true;
      const given = answer?.given ?? [];
      for (const place of given) this.permit(asked[place.index]!, place);
      if (asked.length === MOST_STEPS) this.turn(asked);
      if (given.length === asked.length) continue;
      pauseMs = given.length > 0 ? FIRST_PAUSE_MS : Math.min(pauseMs * 1.5, LONGEST_PAUSE_MS);
      await this.pause(answer?.needsPlace === false ? LONGEST_RATE_PAUSE_MS : pauseMs * (0.75 + Math.random() / 2), answer?.moreAt);
    }
    this.isWorking = false;
    this.port.idle();
  }

  /**
   * Returns the steps of the next request: the first of each line, then the second ones. Lines take
   * turns, so the line that was served last comes last.
   */
  private next(): Waiting[] {
    this.forgetLeft();
    const steps: Waiting[] = [];
    for (let rank = 0, isMore = true; isMore && steps.length < MOST_STEPS; rank++) {
      isMore = false;
      for (const line of this.lines.values()) {
        const waiting = line[rank];
        if (!waiting) continue;
        isMore = true;
        steps.push(waiting);
        if (steps.length === MOST_STEPS) break;
      }
    }
    return steps;
  }

  /** Puts the lines of these steps behind those for which the request had no room. */
  private turn(asked: readonly Waiting[]): void {
    for (const key of new Set(asked.map(({ step }) => step.queueKey))) {
      const line = this.lines.get(key);
      if (line && this.lines.delete(key)) this.lines.set(key, line);
    }
  }

  /** Forgets steps that no longer wait, and gives back the places that they may have. */
  private forgetLeft(): void {
    const left: PlacedStep[] = [];
    for (const [key, line] of this.lines) {
      const kept = line.filter(({ step, mayHavePlace }) => {
        const isKept = step.isWaiting();
        if (!isKept && mayHavePlace) left.push(step);
        return isKept;
      });
      if (kept.length === 0) this.lines.delete(key);
      else if (kept.length < line.length) this.lines.set(key, kept);
    }
    if (left.length > 0) this.port.release(left);
  }

  private permit(waiting: Waiting, place: GivenPlace): void {
    const { step } = waiting;
    const line = this.lines.get(step.queueKey);
    this.lines.delete(step.queueKey);
    const rest = line?.filter((each) => each !== waiting) ?? [];
    // Lines take turns, so the line of a step that was served comes last.
    if (rest.length > 0) this.lines.set(step.queueKey, rest);
    if (step.isWaiting()) this.port.permit(step, place);
    else if (place.isHeld) this.port.release([step]);
  }

  /** Pauses until a place may be free. Pauses shortly in any case, so that requests are bounded. */
  private async pause(ms: number, moreAt: number | undefined): Promise<void> {
    await new Promise<void>((resolve) => void setTimeout(resolve, SHORTEST_PAUSE_MS).unref());
    if (this.isStale) return;
    this.pausesFor = moreAt === undefined ? 'place' : 'slot';
    await new Promise<void>((resolve) => {
      let alarm: ClockAlarm | undefined;
      const end = (): void => {
        clearTimeout(timer);
        alarm?.cancel();
        this.wake = undefined;
        resolve();
      };
      const timer = setTimeout(end, ms).unref();
      if (moreAt !== undefined) alarm = this.port.clock.at(moreAt - AHEAD_MS / 2, end);
      this.wake = end;
    });
    this.pausesFor = undefined;
  }
}
