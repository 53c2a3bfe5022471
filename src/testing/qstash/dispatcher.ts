import type { Clock } from './clock.js';
import type { FlowControl } from './flow-control.js';
import { PriorityQueue } from './priority-queue.js';
import { hasEnded, type Message } from './message.js';
import type { Queues } from './queues.js';

/** Attempt to deliver a message, which becomes due at `dueAt`. */
export interface Task {
  readonly message: Message;
  /** Number of retries before this attempt. */
  readonly retried: number;
  readonly dueAt: number;
  /** Order among the tasks that are due at the same time: the lowest number is first. */
  readonly order: number;
  /**
   * `duplicate` for the additional copy of a message that an injected fault causes.
   */
  readonly kind: 'original' | 'duplicate';
}

interface InFlightDelivery {
  readonly task: Task;
  readonly deadline: number;
  readonly abort: AbortController;
  hasEnded: boolean;
  /**
   * True when the response takes too long. Advancing a manual clock then no longer waits for this
   * delivery.
   */
  isStalled: boolean;
}

/**
 * Reason for aborting a delivery that takes too long. This delivery counts as failed. The result of
 * a delivery that is aborted for any other reason is ignored.
 */
export const TIMED_OUT = 'timed out';

export interface DispatcherDependencies {
  readonly clock: Clock;
  readonly queues: Queues;
  readonly flows: FlowControl;
  /** Returns the maximum number of active deliveries. */
  readonly parallelism: () => number;
  /** Makes one attempt to deliver a message, and schedules a retry if needed. Never rejects. */
  readonly deliver: (task: Task, signal: AbortSignal) => Promise<void>;
  /** Publishes the messages of schedules that are due. */
  readonly tick: (now: number) => void;
  /** Returns the next time at which a schedule is due. */
  readonly nextTick: () => number | undefined;
  /** Called after each delivery that has ended. */
  readonly deliveryEnded: () => void;
}

const UNLIMITED = 'free';

/** Keeps tasks until they are due and the limits permit them, and starts them in order. */
export class Dispatcher {
  private readonly scheduled = new PriorityQueue<Task>((a, b) => a.dueAt < b.dueAt || (a.dueAt === b.dueAt && a.order < b.order));
  private readonly deadlines = new PriorityQueue<InFlightDelivery>((a, b) => a.deadline < b.deadline);
  /**
   * Due tasks, grouped by the limit that delays them: a queue, a flow-control key, or only the
   * maximum number of active deliveries.
   */
  private readonly waitLists = new Map<string, Task[]>();
  private readonly inFlight = new Set<InFlightDelivery>();

  constructor(private readonly dependencies: DispatcherDependencies) {}

  get active(): number {
    return this.inFlight.size;
  }

  add(task: Task): void {
    this.scheduled.push(task);
  }

  /** Returns the number of due messages that wait because of this flow-control key. */
  waitingFor(flowKey: string): number {
    return [...this.waitLists.values()].flat().filter(({ message }) => message.flow?.key === flowKey && !hasEnded(message)).length;
  }

  /** Starts all deliveries that are due and permitted. Aborts deliveries that have timed out. */
  startDue(): void {
    const now = this.dependencies.clock.now();
    this.dependencies.tick(now);
    for (let delivery = this.nextDeadline(); delivery && delivery.deadline <= now; delivery = this.nextDeadline()) {
      this.deadlines.pop();
      // The delivery ends a moment after its abort, so a manual clock must wait for the delivery's
      // result.
      delivery.isStalled = false;
      delivery.abort.abort(TIMED_OUT);
    }
    for (let task = this.nextScheduled(); task && task.dueAt <= now; task = this.nextScheduled()) {
      this.scheduled.pop();
      this.addToWaitList(task);
    }
    for (const [name, waitList] of this.waitLists) {
      this.drain(waitList, now);
      if (waitList.length === 0) this.waitLists.delete(name);
    }
  }

  /**
   * Returns the time at which the next delivery, timeout or schedule is due. Call `startDue()`
   * first.
   */
  nextAt(): number | undefined {
    const now = this.dependencies.clock.now();
    const heads = [...this.waitLists.values()].map((waitList) => this.dependencies.flows.admitsAt(waitList[0]?.message.flow?.key, now));
    const times = [this.nextScheduled()?.dueAt, this.nextDeadline()?.deadline, this.dependencies.nextTick(), ...heads];
    return times.reduce((first, time) => (first === undefined || (time !== undefined && time < first) ? time : first), undefined);
  }

  /** Returns true while a manual clock must wait for an answer that may still arrive. */
  awaitsAnswers(): boolean {
    return [...this.inFlight].some(({ isStalled }) => !isStalled);
  }

  /** Stops waiting for the answers that have not yet arrived. */
  stopAwaiting(): void {
    for (const delivery of this.inFlight) delivery.isStalled = true;
  }

  /** Removes all tasks and aborts active deliveries. */
  clear(): void {
    const inFlight = [...this.inFlight];
    this.inFlight.clear();
    this.scheduled.clear();
    this.deadlines.clear();
    this.waitLists.clear();
    for (const delivery of inFlight) {
      delivery.hasEnded = true;
      delivery.abort.abort('cleared');
    }
  }

  private addToWaitList(task: Task): void {
    const name = waitListOf(task);
    const waitList = this.waitLists.get(name) ?? [];
    this.waitLists.set(name, waitList);
    // A retry goes to the front, because its message has kept its place in the queue.
    if (this.dependencies.queues.holds(task.message)) waitList.unshift(task);
    else waitList.push(task);
  }

  private drain(waitList: Task[], now: number): void {
    for (let task = waitList[0]; task && this.inFlight.size < this.dependencies.parallelism(); task = waitList[0]) {
      if (isObsolete(task)) {
        waitList.shift();
        continue;
      }
      if (!this.admits(task, now)) return;
      waitList.shift();
      void this.start(task, now);
    }
  }

  private admits({ kind, message }: Task, now: number): boolean {
    return kind === 'duplicate' || (this.dependencies.queues.admits(message) && this.dependencies.flows.admits(message.flow?.key, now));
  }

  private async start(task: Task, now: number): Promise<void> {
    const { queues, flows, deliver } = this.dependencies;
    const flowKey = task.kind === 'duplicate' ? undefined : task.message.flow?.key;
    const delivery: InFlightDelivery = {
      task,
      deadline: now + task.message.timeoutMs,
      abort: new AbortController(),
      hasEnded: false,
      isStalled: false,
    };
    this.inFlight.add(delivery);
    this.deadlines.push(delivery);
    flows.start(flowKey, now);
    if (task.kind === 'original') queues.hold(task.message);
    await deliver(task, delivery.abort.signal);
    if (delivery.hasEnded) return;
    delivery.hasEnded = true;
    this.inFlight.delete(delivery);
    flows.end(flowKey);
    this.dependencies.deliveryEnded();
  }

  private nextScheduled(): Task | undefined {
    for (let task = this.scheduled.peek(); task; task = this.scheduled.peek()) {
      if (!isObsolete(task)) return task;
      this.scheduled.pop();
    }
    return undefined;
  }

  private nextDeadline(): InFlightDelivery | undefined {
    for (let delivery = this.deadlines.peek(); delivery; delivery = this.deadlines.peek()) {
      if (!delivery.hasEnded) return delivery;
      this.deadlines.pop();
    }
    return undefined;
  }
}

function waitListOf({ kind, message }: Task): string {
  if (kind === 'duplicate') return UNLIMITED;
  if (message.queue !== undefined) return `queue ${message.queue}`;
  return message.flow === undefined ? UNLIMITED : `flow ${message.flow.key}`;
}

/** Returns true when the task's message no longer needs a delivery. */
function isObsolete({ kind, message }: Task): boolean {
  return kind === 'duplicate' ? message.state === 'cancelled' : hasEnded(message);
}
