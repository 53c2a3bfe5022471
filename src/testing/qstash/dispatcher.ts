import type { Clock } from './clock.js';
import type { FlowControl } from './flow-control.js';
import { PriorityQueue } from './priority-queue.js';
import { isOver, type Message } from './message.js';
import type { Queues } from './queues.js';

/** One attempt to come. */
export interface Task {
  readonly message: Message;
  /** How many retries there were before. */
  readonly retried: number;
  readonly dueAt: number;
  /** Which goes first of those due at the same time. */
  readonly order: number;
  /** `duplicate`: a fault's, delivered once beside the message itself. */
  readonly kind: 'original' | 'duplicate';
}

interface Flight {
  readonly task: Task;
  readonly deadline: number;
  readonly abort: AbortController;
  over: boolean;
  /** Gave no answer for so long that a manual clock no longer waits for it. */
  stalled: boolean;
}

/** Why a delivery is broken off. Any other reason means that nobody wants to know what came of it. */
export const TIMED_OUT = 'timed out';

export interface DispatcherParts {
  readonly clock: Clock;
  readonly queues: Queues;
  readonly flows: FlowControl;
  /** How many deliveries may be under way. */
  readonly parallelism: () => number;
  /** Makes an attempt and decides what follows. Never rejects. */
  readonly deliver: (task: Task, signal: AbortSignal) => Promise<void>;
  /** Does what else is due. */
  readonly tick: (now: number) => void;
  /** When something else is due. */
  readonly nextTick: () => number | undefined;
}

const FREE = 'free';

/** Holds what is to be delivered until it is due and let through, and starts it in order. */
export class Dispatcher {
  private readonly future = new PriorityQueue<Task>((a, b) => a.dueAt < b.dueAt || (a.dueAt === b.dueAt && a.order < b.order));
  private readonly deadlines = new PriorityQueue<Flight>((a, b) => a.deadline < b.deadline);
  /** What is due, by what holds it back: a queue, a flow-control key, or only the number of deliveries. */
  private readonly lanes = new Map<string, Task[]>();
  private readonly flights = new Set<Flight>();

  constructor(private readonly parts: DispatcherParts) {}

  get active(): number {
    return this.flights.size;
  }

  add(task: Task): void {
    this.future.push(task);
  }

  /** How many due messages wait for that flow-control key. */
  waitingFor(flowKey: string): number {
    return [...this.lanes.values()].flat().filter(({ message }) => message.flow?.key === flowKey && !isOver(message)).length;
  }

  /** Starts all that is due and let through. */
  pump(): void {
    const now = this.parts.clock.now();
    this.parts.tick(now);
    for (let flight = this.nextDeadline(); flight && flight.deadline <= now; flight = this.nextDeadline()) {
      this.deadlines.pop();
      // What follows from it is decided in a moment: the clock is to wait for that.
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

  /** When something falls due next, after a pump. */
  nextAt(): number | undefined {
    const now = this.parts.clock.now();
    const heads = [...this.lanes.values()].map((lane) => this.parts.flows.opensAt(lane[0]?.message.flow?.key, now));
    const times = [this.nextFuture()?.dueAt, this.nextDeadline()?.deadline, this.parts.nextTick(), ...heads];
    return times.reduce((first, time) => (first === undefined || (time !== undefined && time < first) ? time : first), undefined);
  }

  /** Whether a delivery is under way from which an answer may still be expected soon. */
  awaitsAnswers(): boolean {
    return [...this.flights].some(({ stalled }) => !stalled);
  }

  /** No longer counts on the answers that have not come yet. */
  giveUpWaiting(): void {
    for (const flight of this.flights) flight.stalled = true;
  }

  /** Forgets everything and breaks off what is under way. */
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

  /** Called whenever a delivery has ended. */
  onEnd: () => void = () => undefined;

  private queueUp(task: Task): void {
    const name = laneOf(task);
    const lane = this.lanes.get(name) ?? [];
    this.lanes.set(name, lane);
    // A retry has its place in the queue already.
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

/** Whether there is nothing to deliver any more. */
function isMoot({ kind, message }: Task): boolean {
  return kind === 'duplicate' ? message.state === 'cancelled' : isOver(message);
}
