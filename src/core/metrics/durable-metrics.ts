import { stepLabelOf } from '../step-key-format.js';
import { CounterFamily, HistogramFamily, type Counter, type Histogram, type MetricDefinition } from './instruments.js';

/** Beginning of all names of metrics. */
const PREFIX = 'nestjs_durable.';

/** Upper bounds of the buckets for work that takes milliseconds, in seconds. */
const SHORT = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10];
/** Upper bounds of the buckets for step bodies and delays, in seconds. */
const LONG = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];
/** Upper bounds of the buckets for runs, in seconds: up to thirty days. */
const VERY_LONG = [0.05, 0.1, 0.25, 0.5, 1, 5, 15, 60, 300, 900, 3_600, 21_600, 86_400, 604_800, 2_592_000];
const NUMBERS = [0, 1, 2, 5, 10, 25, 50, 100, 250, 500];
const BYTES = [1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304];

/** Status with which a run ended, as metrics show it. */
export type EndStatus = 'completed' | 'failed' | 'cancelled' | 'continued';

/** Outcome of the due times of a schedule. */
export interface FiredSchedule {
  readonly workflow: string;
  /** Number of due times that started a run. */
  readonly started: number;
  /** Number of due times that started no run because another run had not ended. */
  readonly skipped: number;
  /** True when the schedule was found more than a minute late. */
  readonly isMissed: boolean;
  /** Seconds by which the started runs were late. */
  readonly delays: readonly number[];
}

/** Defines a metric of this package. */
export function defineMetric(name: string, unit: string, help: string, labels: readonly string[] = []): MetricDefinition {
  return { name: PREFIX + name, unit, help, labels };
}

/**
 * Counters and histograms of one module in this process. An event only adds to numbers, so metrics
 * cost next to nothing while nobody reads them.
 */
export class DurableMetrics {
  readonly counters: CounterFamily[] = [];
  readonly histograms: HistogramFamily[] = [];

  private readonly starts = this.counter('runs.started', '{run}', 'Runs that this process created', ['workflow'], 1);
  private readonly ends = this.counter('runs.ended', '{run}', 'Runs that this process ended', ['workflow', 'status'], 1);
  private readonly suspensions = this.counter('runs.suspended', '{run}', 'Suspensions of runs that only waited', ['workflow'], 1);
  private readonly runDurations = this.histogram(
    'run.duration',
    's',
    'Time from the first execution of a run to its end',
    VERY_LONG,
    ['workflow', 'status'],
    1,
  );
  private readonly steps = this.histogram(
    'step.duration',
    's',
    'Time from the call of a step to its result, with all attempts and the pauses between them',
    LONG,
    ['workflow', 'step', 'status'],
    2,
  );
  private readonly attempts = this.counter('step.attempts', '{attempt}', 'Attempts of steps', ['workflow', 'step', 'outcome'], 2);

  private readonly claimDuration = this.one('claim.duration', 's', 'Time of a statement that claims due runs', SHORT);
  private readonly claimRuns = this.one('claim.runs', '{run}', 'Runs per claim', NUMBERS);
  private readonly claimDelays = this.histogram('claim.delay', 's', 'Time for which a claimed run had been due', LONG, ['queue'], 1);

  private readonly flushDuration = this.one('flush.duration', 's', 'Time of a write to the journal', SHORT);
  private readonly flushTransitions = this.one('flush.transitions', '{transition}', 'Transitions per write to the journal', NUMBERS);
  private readonly flushSize = this.one('flush.size', 'By', 'Approximate size of a write to the journal', BYTES);
  private readonly flushFailures = this.total(
    'flush.failures',
    '{flush}',
    'Writes to the journal that failed and were repeated or divided',
  );

  readonly sessionsFenced = this.total('sessions.fenced', '{session}', 'Sessions of this process that another process took over');
  readonly workersLost = this.total('workers.lost', '{worker}', 'Dead workers whose runs this process took over');
  readonly runsTakenOver = this.total('runs.taken_over', '{run}', 'Runs of dead workers that this process took over');

  private readonly stalls = this.total('event_loop.stalls', '{stall}', 'Blocks of the event loop of at least a second');
  private readonly stalledSeconds = this.total('event_loop.stalled', 's', 'Time for which such blocks stopped the event loop');

  readonly noticesReceived = this.total('notifications.received', '{notification}', 'Notifications from other processes');
  readonly directLosses = this.total('listen.losses', '{connection}', 'Losses of the direct connection');

  private readonly messages = this.counter('qstash.messages', '{message}', 'Wake-ups published to QStash', ['outcome'], 0);
  private readonly deliveries = this.counter('qstash.deliveries', '{delivery}', 'Deliveries from QStash', ['outcome'], 0);

  private readonly listenerCalls = this.counter(
    'listener.calls',
    '{call}',
    'Calls of listeners; for a durable listener, starts of the run that calls it',
    ['listener', 'outcome'],
    1,
  );
  private readonly listenerDrops = this.counter(
    'listener.dropped',
    '{event}',
    'Events dropped after the last failed call of a listener',
    ['listener'],
    1,
  );

  private readonly dueTimes = this.counter(
    'schedule.due_times',
    '{due_time}',
    'Due times of schedules that started a run, started none because of other runs, or were found a minute late',
    ['workflow', 'outcome'],
    1,
  );
  private readonly scheduleDelays = this.histogram(
    'schedule.delay',
    's',
    'Time from a due time of a schedule, with its jitter, to the start of the run',
    LONG,
    ['workflow'],
    1,
  );
  private readonly scheduleFailures = this.counter(
    'schedule.failures',
    '{failure}',
    'Failed tries to start the runs of a schedule',
    ['workflow'],
    1,
  );

  private readonly dispatched = this.counter('events.dispatched', '{event}', 'Events that this process dispatched', ['event'], 0);
  readonly eventsResumed = this.total('events.resumed', '{wait}', 'Waits of runs to which this process sent an event');

  /** Notes that this process created a run. */
  runStarted(workflow: string): void {
    this.starts.cell(workflow).add();
  }

  /**
   * Notes that this process ended a run.
   *
   * @param seconds time since the first execution of the run; undefined when its code was not
   *   executed to the end
   */
  runEnded(workflow: string, status: EndStatus, seconds?: number): void {
    this.ends.cell(workflow, status).add();
    if (seconds !== undefined) this.runDurations.cell(workflow, status).observe(seconds);
  }

  runSuspended(workflow: string): void {
    this.suspensions.cell(workflow).add();
  }

  /** Notes that the result of a step is durable. */
  stepEnded(workflow: string, stepKey: string, status: 'completed' | 'failed', seconds: number): void {
    const step = stepLabelOf(stepKey);
    this.steps.cell(workflow, step, status).observe(seconds);
    if (status === 'completed') this.attempts.cell(workflow, step, status).add();
  }

  attemptFailed(workflow: string, stepKey: string): void {
    this.attempts.cell(workflow, stepLabelOf(stepKey), 'failed').add();
  }

  /** Notes a statement that has claimed due runs. */
  claimed(runs: number, seconds: number): void {
    this.claimDuration.observe(seconds);
    this.claimRuns.observe(runs);
  }

  /** Notes for how long a run was due before it was claimed. */
  claimDelayed(queue: string, seconds: number): void {
    this.claimDelays.cell(queue).observe(seconds);
  }

  /** Notes a write to the journal. */
  flushed(outcome: 'written' | 'failed', ms: number, entries: readonly { readonly bytes: number }[]): void {
    if (outcome === 'failed') return this.flushFailures.add();
    let bytes = 0;
    for (const entry of entries) bytes += entry.bytes;
    this.flushDuration.observe(ms / 1_000);
    this.flushTransitions.observe(entries.length);
    this.flushSize.observe(bytes);
  }

  /** Notes what a process did about the due times of a schedule. */
  scheduleFired({ workflow, started, skipped, isMissed, delays }: FiredSchedule): void {
    for (const [outcome, count] of [
      ['started', started],
      ['skipped', skipped],
      ['missed', isMissed ? 1 : 0],
    ] as const)
      if (count > 0) this.dueTimes.cell(workflow, outcome).add(count);
    for (const seconds of delays) this.scheduleDelays.cell(workflow).observe(seconds);
  }

  /** Notes that the runs of a schedule could not be started. */
  scheduleFailed(workflow: string): void {
    this.scheduleFailures.cell(workflow).add();
  }

  /** Notes that an event has reached all its receivers. */
  eventDispatched(event: string): void {
    this.dispatched.cell(event).add();
  }

  /** Notes that something blocked the event loop. */
  loopStalled(seconds: number): void {
    this.stalls.add();
    this.stalledSeconds.add(seconds);
  }

  published(outcome: 'accepted' | 'refused' | 'failed', messages: number): void {
    this.messages.cell(outcome).add(messages);
  }

  delivered(outcome: string): void {
    this.deliveries.cell(outcome).add();
  }

  /** Notes a call of a listener. */
  listenerCalled(listener: string, outcome: 'completed' | 'failed'): void {
    this.listenerCalls.cell(listener, outcome).add();
  }

  /** Notes an event for which a listener gets no further call. */
  listenerDropped(listener: string): void {
    this.listenerDrops.cell(listener).add();
  }

  /** Shows the counters of these listeners, with the value 0. */
  expectListeners(names: Iterable<string>): void {
    for (const name of names) {
      this.listenerDrops.cell(name);
      for (const outcome of ['completed', 'failed']) this.listenerCalls.cell(name, outcome);
    }
  }

  /**
   * Shows the counters of these workflows, with the value 0. A counter that appears only with its
   * first event hides this event from functions such as `rate`.
   */
  expect(workflows: Iterable<string>): void {
    for (const workflow of workflows) {
      this.starts.cell(workflow);
      for (const status of ['completed', 'failed', 'cancelled']) this.ends.cell(workflow, status);
    }
  }

  private counter(name: string, unit: string, help: string, labels: readonly string[], chosen: number): CounterFamily {
    const family = new CounterFamily(defineMetric(name, unit, help, labels), chosen);
    this.counters.push(family);
    return family;
  }

  /** Defines a counter without labels. */
  private total(name: string, unit: string, help: string): Counter {
    return this.counter(name, unit, help, [], 0).cell();
  }

  private histogram(
    name: string,
    unit: string,
    help: string,
    bounds: readonly number[],
    labels: readonly string[],
    chosen: number,
  ): HistogramFamily {
    const family = new HistogramFamily(defineMetric(name, unit, help, labels), bounds, chosen);
    this.histograms.push(family);
    return family;
  }

  /** Defines a histogram without labels. */
  private one(name: string, unit: string, help: string, bounds: readonly number[]): Histogram {
    return this.histogram(name, unit, help, bounds, [], 0).cell();
  }
}
