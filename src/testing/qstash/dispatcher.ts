import type { Clock } from './clock.js';
import type { FlowControl } from './flow-control.js';
import { PriorityQueue } from './priority-queue.js';
import { isOver, type Message } from './message.js';
import type { Queues } from './queues.js';

/** Attempt that is due now or later. */
export interface Task {
  readonly message: Message;
  /** Number of earlier retries. */
  readonly retried: number;
  readonly dueAt: number;
  /** Order among tasks that are due at the same time. */
  readonly order: number;
  /** `duplicate`: a copy that a fault delivers once, beside the message itself. */
  readonly kind: 'original' | 'duplicate';
}

interface Flight {
  readonly task: Task;
  readonly deadline: number;
  readonly abort: AbortController;
  over: boolean;
  /**
   * True when the answer has been missing for so long that a manual clock no longer waits for it.
   */
  stalled: boolean;
}

/**
 * Reason of an aborted delivery that counts as failed. With any other reason, the result is
 * ignored.
 */
export const TIMED_OUT = 'timed out';

export interface DispatcherParts {
  readonly clock: Clock;
  readonly queues: Queues;
  readonly flows: FlowControl;
  /** Maximum number of active deliveries. */
  readonly parallelism: () => number;
  /** Makes an attempt and decides what happens next. Never rejects. */
  readonly deliver: (task: Task, signal: AbortSignal) => Promise<void>;
  /** Publishes messages of schedules that are due. */
  readonly tick: (now: number) => void;
  /** Returns the next time at which a schedule is due. */
  readonly nextTick: () => number | undefined;
}

const FREE = 'free';

/** Keeps deliveries until they are due and permitted, and starts them in order. */
export class Dispatcher {
  private readonly future = new PriorityQueue<Task>((a, b) => a.dueAt < b.dueAt || (a.dueAt === b.dueAt && a.order < b.order));
  private readonly deadlines = new PriorityQueue<Flight>((a, b) => a.deadline < b.deadline);
  /**
   * Due tasks, by the limit that applies: a queue, a flow-control key, or only the number of
   * deliveries.
   */
  private readonly lanes = new Map<string, Task[]>();
  private readonly flights = new Set<Flight>();

  constructor(private readonly parts: DispatcherParts) {}

  get active(): number {
    return this.flights.size;
  }

  add(task: Task): void {
    this.future.push(task);
  }

  /** Returns the number of due messages that wait for a flow-control key. */
  waitingFor(flowKey: string): number {
    return [...this.lanes.values()].flat().filter(({ message }) => message.flow?.key === flowKey && !isOver(message)).length;
  }

  /** Starts all deliveries that are due and permitted. */
  pump(): void {
    const now = this.parts.clock.now();
    this.parts.tick(now);
    for (let flight = this.nextDeadline(); flight && flight.deadline <= now; flight = this.nextDeadline()) {
      this.deadlines.pop();
      // The result is decided in a moment, so a manual clock has to wait for it.
      flight.stalled = false;
      flight.abort.abort(TIMED_OUT);
    }
    for (let task = this.nextFuture(); task && task.dueAt <= now; task = this.nextFuture()) {
      this.future.pop();
      this.queueUp(task);
    }
    for (const [name, lane] of this.lanes) {
      this.drain(lane, now);
      if (lane.length === 0) this.lanes.delete(name);
    }
  }

  /** Returns the time at which the next task falls due. Call it after `startDue()`. */
  nextAt(): number | undefined {
    const now = this.parts.clock.now();
    const heads = [...this.lanes.values()].map((lane) => this.parts.flows.opensAt(lane[0]?.message.flow?.key, now));
    const times = [this.nextFuture()?.dueAt, this.nextDeadline()?.deadline, this.parts.nextTick(), ...heads];
    return times.reduce((first, time) => (first === undefined || (time !== undefined && time < first) ? time : first), undefined);
  }

  /** Returns true while an answer to a delivery may still arrive soon. */
  awaitsAnswers(): boolean {
    return [...this.flights].some(({ stalled }) => !stalled);
  }

  /** Stops waiting for the answers that have not arrived. */
  giveUpWaiting(): void {
    for (const flight of this.flights) flight.stalled = true;
  }

  /** Removes all tasks and aborts active deliveries. */
  clear(): void {
    const flights = [...this.flights];
    this.flights.clear();
    this.future.clear();
    this.deadlines.clear();
    this.lanes.clear();
    for (const flight of flights) {
      flight.over = true;
      flight.abort.abort('cleared');
    }
  }

  onEnd: () => void = () => undefined;

  private queueUp(task: Task): void {
    const name = laneOf(task);
    const lane = this.lanes.get(name) ?? [];
    this.lanes.set(name, lane);
    // A retry already has its place in the queue.
    if (this.parts.queues.holds(task.message)) lane.unshift(task);
    else lane.push(task);
  }

  private drain(lane: Task[], now: number): void {
    for (let task = lane[0]; task && this.flights.size < this.parts.parallelism(); task = lane[0]) {
      if (isMoot(task)) {
        lane.shift();
        continue;
      }
      if (!this.admits(task, now)) return;
      lane.shift();
      void this.start(task, now);
    }
  }

  private admits({ kind, message }: Task, now: number): boolean {
    return kind === 'duplicate' || (this.parts.queues.admits(message) && this.parts.flows.admits(message.flow?.key, now));
  }

  private async start(task: Task, now: number): Promise<void> {
    const { queues, flows, deliver } = this.parts;
    const flowKey = task.kind === 'duplicate' ? undefined : task.message.flow?.key;
    const flight: Flight = { task, deadline: now + task.message.timeout, abort: new AbortController(), over: false, stalled: false };
    this.flights.add(flight);
    this.deadlines.push(flight);
    flows.begin(flowKey, now);
    if (task.kind === 'original') queues.take(task.message);
    await deliver(task, flight.abort.signal);
    if (flight.over) return;
    flight.over = true;
    this.flights.delete(flight);
    flows.end(flowKey);
    this.onEnd();
  }

  private nextFuture(): Task | undefined {
    for (let task = this.future.peek(); task; task = this.future.peek()) {
      if (!isMoot(task)) return task;
      this.future.pop();
    }
    return undefined;
  }

  private nextDeadline(): Flight | undefined {
    for (let flight = this.deadlines.peek(); flight; flight = this.deadlines.peek()) {
      if (!flight.over) return flight;
      this.deadlines.pop();
    }
    return undefined;
  }
}

function laneOf({ kind, message }: Task): string {
  if (kind === 'duplicate') return FREE;
  if (message.queue !== undefined) return `queue ${message.queue}`;
  return message.flow === undefined ? FREE : `flow ${message.flow.key}`;
}

/** Returns true when there is nothing left to deliver. */
function isMoot({ kind, message }: Task): boolean {
  return kind === 'duplicate' ? message.state === 'cancelled' : isOver(message);
}
