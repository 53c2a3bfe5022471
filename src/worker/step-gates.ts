import type { DatabaseClock } from '../core/clock.js';
import { clearTimeout, setTimeout, sleep } from '../core/timers.js';
import type { LimitedStep, StepLimits, StepPermit } from '../engine/step-limits-port.js';
import { faultOf } from '../store/database-errors.js';
import type { Database } from '../store/database.js';
import { refreshKnownQueues } from '../store/sql/queues.js';
import { releaseStepPlace, reserveSlot, takeStepPlace, type PlacedStep } from '../store/sql/step-places.js';

/** Milliseconds between two tries to take a place while other processes have all of them. */
const FIRST_PAUSE_MS = 15;
const LONGEST_PAUSE_MS = 200;
/** Number of tries to give a place back. The place also ends with the session. */
const RELEASE_TRIES = 5;

/** Steps of this process that wait for one limit and key. Only the first one asks the database. */
class Gate {
  private readonly waiting: LimitedStep[] = [];
  private isWorking = false;
  /** True while other steps have all places of the limit. */
  private isFull = false;
  private wake: (() => void) | undefined;

  constructor(
    private readonly name: string,
    private readonly key: string,
    private readonly gates: StepGates,
  ) {}

  add(step: LimitedStep): void {
    this.waiting.push(step);
    if (!this.isWorking) void this.work();
  }

  /** Called when this process has given a place back. */
  placeFreed(): void {
    this.wake?.();
  }

  /** Steps that wait until another step gives a place back. */
  get stopped(): readonly LimitedStep[] {
    return this.isFull ? this.waiting : [];
  }

  private async work(): Promise<void> {
    this.isWorking = true;
    let pauseMs = FIRST_PAUSE_MS;
    for (let step = this.first(); step; step = this.first()) {
      const isPermitted = await this.gates.admit(this.name, this.key, step);
      if (isPermitted) this.waiting.shift();
      else {
        this.isFull = true;
        await this.pause(pauseMs * (0.75 + Math.random() / 2));
        this.isFull = false;
      }
      pauseMs = isPermitted ? FIRST_PAUSE_MS : Math.min(pauseMs * 1.5, LONGEST_PAUSE_MS);
    }
    this.isWorking = false;
  }

  /** Returns the first step that still waits, and forgets those that do not. */
  private first(): LimitedStep | undefined {
    while (this.waiting[0] && !this.waiting[0].isWaiting()) this.waiting.shift();
    return this.waiting[0];
  }

  private pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms).unref();
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
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
  private readonly gates = new Map<string, Gate>();
  /** Steps whose slot of a rate limit has not opened yet. */
  private readonly opening = new Set<LimitedStep>();

  constructor(
    private readonly database: Database,
    private readonly options: StepGatesOptions,
  ) {}

  /** Ids of the runs with a step that waits until its slot opens. */
  get runsBeforeSlots(): readonly string[] {
    return runsOf([...this.opening]);
  }

  /** Ids of the runs with a step that waits until another step gives a place back. */
  get runsWithoutPlace(): readonly string[] {
    return runsOf([...this.gates.values()].flatMap((gate) => gate.stopped));
  }

  async request(name: string, step: LimitedStep): Promise<'requested' | 'unknown'> {
    // Another process may have declared the limit since this process has read them.
    while (!this.database.queues.step(name) && !(await this.refresh())) {
      // An error of the database does not mean that the limit is missing.
      if (!step.isWaiting()) return 'requested';
      await sleep(LONGEST_PAUSE_MS);
    }
    if (!this.database.queues.step(name)) return 'unknown';
    this.gateOf(name, step.queueKey).add(step);
    return 'requested';
  }

  /** Tries to permit a step. Returns false when the limit has no place now. */
  async admit(name: string, key: string, step: LimitedStep): Promise<boolean> {
    const sessionId = this.options.sessionId();
    if (sessionId === undefined) return false;
    const limit = this.database.queues.step(name);
    const placed: PlacedStep = { limit: name, key, runId: step.runId, stepKey: step.stepKey };
    const release = (): void => void this.release(sessionId, placed, limit?.hasPlaces ?? true);
    try {
      if (!(await takeStepPlace(this.database, sessionId, placed))) return false;
      if (!step.isWaiting()) {
        release();
        return true;
      }
      const opensAt = limit?.hasRate ? await reserveSlot(this.database, 'step', name, key) : undefined;
      this.permit(step, opensAt, limit?.latenessMs ?? 0, release);
      return true;
    } catch (error) {
      if (faultOf(error) !== 'locked') this.options.failed(error);
      // The place may have been taken. A step that still waits takes the place again, any other
      // step would keep the place until the session ends.
      if (!step.isWaiting()) release();
      return false;
    }
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

  private permit(step: LimitedStep, opensAt: number | undefined, latenessMs: number, release: () => void): void {
    const { clock } = this.options;
    const permit: StepPermit = { isValid: () => opensAt === undefined || clock.now() <= opensAt + latenessMs, release };
    if (opensAt === undefined || opensAt <= clock.now()) return step.permitted(permit);
    this.opening.add(step);
    clock.at(opensAt, () => {
      this.opening.delete(step);
      step.permitted(permit);
    });
  }

  private async release(sessionId: string, placed: PlacedStep, hasPlaces: boolean): Promise<void> {
    for (let tries = hasPlaces ? 1 : RELEASE_TRIES + 1; tries <= RELEASE_TRIES; tries++) {
      try {
        await releaseStepPlace(this.database, sessionId, placed);
        break;
      } catch (error) {
        if (tries === RELEASE_TRIES) return this.options.failed(error);
        await sleep(50 * tries);
      }
    }
    this.gates.get(`${placed.limit}\n${placed.key}`)?.placeFreed();
  }

  private gateOf(name: string, key: string): Gate {
    const id = `${name}\n${key}`;
    const gate = this.gates.get(id) ?? new Gate(name, key, this);
    this.gates.set(id, gate);
    return gate;
  }
}
