import type { DatabaseClock } from '../core/clock.js';
import { sleep } from '../core/timers.js';
import type { LimitedStep, StepLimits, StepPermit } from '../engine/step-limits-port.js';
import { faultOf } from '../store/database-errors.js';
import type { Database } from '../store/database.js';
import { refreshKnownQueues } from '../store/sql/queues.js';
import { releaseStepPlaces, takeStepPlaces, type GivenPlace, type GivenPlaces, type PlacedStep } from '../store/sql/step-places.js';
import { AHEAD_MS, StepGate } from './step-gate.js';

/** Milliseconds between two tries to read the limits. */
const RETRY_MS = 200;
/** Shortest and longest pause, in milliseconds, between two tries to give places back. */
const FIRST_RELEASE_PAUSE_MS = 50;
const LONGEST_RELEASE_PAUSE_MS = 2_000;

function idOf({ runId, stepKey }: PlacedStep): string {
  return `${runId}\n${stepKey}`;
}

function runsOf(steps: readonly LimitedStep[]): string[] {
  return steps.filter((step) => step.isWaiting()).map(({ runId }) => runId);
}

/** Functions of the worker that the gates use. */
export interface StepGatesOptions {
  /** Session that owns the runs of this process; undefined while the process has no session. */
  readonly sessionId: () => string | undefined;
  readonly clock: Pick<DatabaseClock, 'now' | 'at'>;
  readonly failed: (error: unknown) => void;
}

/**
 * Gives places and slots of limits to the steps of this process. Places are rows that belong to the
 * session, so the places of a dead process are free once its session was taken over.
 */
export class StepGates implements StepLimits {
  private readonly gates = new Map<string, StepGate>();
  /** Steps whose slot of a rate limit has not opened yet. */
  private readonly opening = new Set<LimitedStep>();
  /** Places to give back, by session and limit. */
  private readonly returned = new Map<string, PlacedStep[]>();
  /** Requests of steps whose former place is being given back, by run and step. */
  private readonly returning = new Map<string, (() => void)[]>();

  constructor(
    private readonly database: Database,
    private readonly options: StepGatesOptions,
  ) {}

  /** Ids of the runs with a step that waits until its slot opens. */
  get runsBeforeSlots(): readonly string[] {
    return runsOf([...this.opening, ...this.waitingFor('slot')]);
  }

  /** Ids of the runs with a step that waits until another step gives a place back. */
  get runsWithoutPlace(): readonly string[] {
    return runsOf(this.waitingFor('place'));
  }

  /** Number of limits for which steps of this process wait. */
  get size(): number {
    return this.gates.size;
  }

  async request(name: string, step: LimitedStep): Promise<'requested' | 'unknown'> {
    // A step has one row. The return of its former place could remove the place of this request.
    const returning = this.returning.get(idOf(step));
    if (returning) await new Promise<void>((resolve) => returning.push(resolve));
    // Another process may have declared the limit since this process has read them.
    while (!this.database.queues.step(name) && !(await this.refresh())) {
      // An error of the database does not mean that the limit is missing.
      if (!step.isWaiting()) return 'requested';
      await sleep(RETRY_MS);
    }
    if (!this.database.queues.step(name)) return 'unknown';
    this.gateOf(name).add(step);
    return 'requested';
  }

  private waitingFor(what: 'slot' | 'place'): LimitedStep[] {
    return [...this.gates.values()].flatMap((gate) => gate.waitingFor(what));
  }

  private async refresh(): Promise<boolean> {
    try {
      await refreshKnownQueues(this.database);
      return true;
    } catch (error) {
      this.options.failed(error);
      return false;
    }
  }

  private gateOf(name: string): StepGate {
    const known = this.gates.get(name);
    if (known) return known;
    /** Session of the last request, which owns the places that the request may have taken. */
    let sessionId: string | undefined;
    const gate = new StepGate({
      take: (steps) => {
        sessionId = this.options.sessionId();
        return sessionId === undefined ? Promise.resolve(undefined) : this.take(name, sessionId, steps);
      },
      permit: (step, place) => this.permit(name, sessionId!, step, place),
      release: (steps) => sessionId !== undefined && this.giveBack(name, sessionId, steps),
      clock: this.options.clock,
      idle: () => this.gates.delete(name),
    });
    this.gates.set(name, gate);
    return gate;
  }

  private async take(limit: string, sessionId: string, steps: readonly PlacedStep[]): Promise<GivenPlaces | undefined> {
    try {
      return await takeStepPlaces(this.database, { limit, sessionId, aheadMs: AHEAD_MS }, steps);
    } catch (error) {
      if (faultOf(error) !== 'locked') this.options.failed(error);
      return undefined;
    }
  }

  /** Permits a step at the time at which its slot opens. */
  private permit(name: string, sessionId: string, step: LimitedStep, { opensAt, isHeld }: GivenPlace): void {
    const { clock } = this.options;
    const latenessMs = this.database.queues.step(name)?.latenessMs ?? 0;
    const permit: StepPermit = {
      isValid: () => opensAt === undefined || clock.now() <= opensAt + latenessMs,
      release: () => isHeld && this.giveBack(name, sessionId, [step]),
    };
    if (opensAt === undefined || opensAt <= clock.now()) return step.permitted(permit);
    this.opening.add(step);
    clock.at(opensAt, () => {
      this.opening.delete(step);
      step.permitted(permit);
    });
  }

  /** Gives places back. Steps that end at the same time share a statement. */
  private giveBack(name: string, sessionId: string, steps: readonly PlacedStep[]): void {
    for (const step of steps) if (!this.returning.has(idOf(step))) this.returning.set(idOf(step), []);
    const key = `${sessionId}\n${name}`;
    const waiting = this.returned.get(key);
    if (waiting) return void waiting.push(...steps);
    this.returned.set(key, [...steps]);
    void this.release(name, sessionId, key);
  }

  /** Tries again until the places are free: they are, once the session has ended. */
  private async release(name: string, sessionId: string, key: string): Promise<void> {
    await Promise.resolve();
    let pauseMs = FIRST_RELEASE_PAUSE_MS;
    const returned = this.returned.get(key)!;
    while (returned.length > 0 && this.options.sessionId() === sessionId) {
      const steps = [...returned];
      try {
        await releaseStepPlaces(this.database, sessionId, steps);
        this.gone(returned.splice(0, steps.length));
        this.gates.get(name)?.changed();
        pauseMs = FIRST_RELEASE_PAUSE_MS;
      } catch (error) {
        if (faultOf(error) !== 'locked') this.options.failed(error);
        await sleep(pauseMs);
        pauseMs = Math.min(pauseMs * 2, LONGEST_RELEASE_PAUSE_MS);
      }
    }
    this.returned.delete(key);
    this.gone(returned);
  }

  /** Lets steps ask for places again whose former places are free. */
  private gone(steps: readonly PlacedStep[]): void {
    for (const step of steps) {
      for (const resolve of this.returning.get(idOf(step)) ?? []) resolve();
      this.returning.delete(idOf(step));
    }
  }
}
