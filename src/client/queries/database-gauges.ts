import { performance } from 'node:perf_hooks';

import { within } from '../../core/async.js';
import { defineMetric } from '../../core/metrics/durable-metrics.js';
import { MAX_COMBINATIONS, OTHER, type GaugeReading, type LabelValues, type MetricDefinition } from '../../core/metrics/instruments.js';
import { dispatchKeyText, type DispatchKey } from '../../core/run.js';
import type { Database } from '../../store/database.js';
import { findBlockedRuns, findDueRuns, findSuspects, listSessions } from '../../store/sql/health.js';
import { countForMetrics, type CountedPart } from '../../store/sql/metrics.js';

/** Milliseconds for which gauges from the database are reused. */
const MAX_AGE_MS = 5_000;

/** Milliseconds after which a reading is returned without the database. */
const ANSWER_MS = 4_000;

const KEY = ['queue', 'workflow', 'version'];
const UP = defineMetric('database.up', '1', '1 when the database has answered the queries for the following gauges, else 0');
const DUE = defineMetric('due.runs', '{run}', 'Due runs that no worker has claimed, counted up to 1000 for each key', KEY);
const DUE_AGE = defineMetric('due.age', 's', 'Time for which the oldest of these runs has been due', KEY);
const UNREGISTERED = defineMetric('unregistered.runs', '{run}', 'Due runs that no living process executes', KEY);
const BLOCKED = defineMetric('blocked.runs', '{run}', 'Runs that wait for a deployment whose code fits their history', KEY);
const SUSPECTS = defineMetric('suspect.runs', '{run}', 'Due runs whose workers died twice or more', KEY);
const SESSIONS = defineMetric('sessions', '{session}', 'Sessions of processes that execute runs', ['state']);
const RUNNING = defineMetric('running.runs', '{run}', 'Runs that workers own', ['workflow']);
const SLEEPING = defineMetric('sleeping.runs', '{run}', 'Suspended or delayed runs that have a time to continue at', ['workflow']);
const PAUSED = defineMetric('paused.runs', '{run}', 'Paused runs', ['workflow']);
const FAILED = defineMetric('failed.runs', '{run}', 'Runs that failed within the last hour and were not retried', ['workflow']);
const WAITS = defineMetric('open.waits', '{wait}', 'Open waits of runs', ['kind']);
const INBOX = defineMetric('inbox.messages', '{message}', 'Messages that runs have not taken');
const INBOX_AGE = defineMetric('inbox.age', 's', 'Age of the oldest of these messages');
const EVENTS = defineMetric('listener.events', '{event}', 'Run events for which a listener has not been called yet', ['listener']);
const EVENT_AGE = defineMetric('listener.event_age', 's', 'Age of the oldest of these events', ['listener']);
const EMITTED = defineMetric('undispatched.events', '{event}', 'Emitted events that have not reached all their receivers');
const EMITTED_AGE = defineMetric('undispatched.event_age', 's', 'Age of the oldest of these events');
const OVERDUE = defineMetric('schedule.overdue', '{schedule}', 'Schedules that are due and that no process has executed yet', ['workflow']);
const OVERDUE_AGE = defineMetric('schedule.overdue_age', 's', 'Time for which the first of these schedules has been due', ['workflow']);
const FAILING = defineMetric('schedule.failing', '{schedule}', 'Schedules whose last try to start a run failed', ['workflow']);
const OUTBOX = defineMetric('outbox.runs', '{run}', 'Due runs that were announced to QStash again');
const OUTBOX_AGE = defineMetric('outbox.age', 's', 'Time for which the oldest of these runs has been due');

const QUEUED = defineMetric('queue.waiting', '{run}', 'Due runs that wait for a place in a queue with limits', ['queue']);
const QUEUED_AGE = defineMetric('queue.age', 's', 'Time for which the oldest of these runs has been due', ['queue']);
const PLACES = defineMetric('queue.places', '{run}', 'Runs that have a place and are due or execute', ['queue']);
const SUSPENDED_PLACES = defineMetric('queue.suspended_places', '{run}', 'Suspended runs that keep their place', ['queue']);
const QUEUE_PAUSED = defineMetric('queue.paused', '1', '1 when the queue is paused, else 0', ['queue']);

/** Gauges from the database. All processes of a module read the same values. */
export const DATABASE_GAUGES: readonly MetricDefinition[] = [
  UP,
  DUE,
  DUE_AGE,
  UNREGISTERED,
  BLOCKED,
  SUSPECTS,
  SESSIONS,
  RUNNING,
  SLEEPING,
  PAUSED,
  FAILED,
  WAITS,
  INBOX,
  INBOX_AGE,
  EVENTS,
  EVENT_AGE,
  EMITTED,
  EMITTED_AGE,
  OVERDUE,
  OVERDUE_AGE,
  FAILING,
  OUTBOX,
  OUTBOX_AGE,
  QUEUED,
  QUEUED_AGE,
  PLACES,
  SUSPENDED_PLACES,
  QUEUE_PAUSED,
];

const DOWN: readonly GaugeReading[] = [{ definition: UP, values: [[[], 0]] }];

/**
 * Reads gauges from the database, with five short statements. Reuses a reading for a few seconds,
 * so that many scrapes cost no more than one.
 */
export class DatabaseGauges {
  private last: { readonly at: number; readonly readings: readonly GaugeReading[] } | undefined;
  private reading: Promise<readonly GaugeReading[]> | undefined;

  constructor(
    private readonly database: Database,
    /** Returns the kinds of runs that this process claims; undefined when it claims none. */
    private readonly served: () => readonly DispatchKey[] | undefined,
    private readonly now: () => number,
  ) {}

  /** Returns the gauges. Never rejects: without the database, only `database.up` is known. */
  async read(): Promise<readonly GaugeReading[]> {
    if (this.last && performance.now() - this.last.at < MAX_AGE_MS) return this.last.readings;
    this.reading ??= this.readNow().finally(() => (this.reading = undefined));
    const { reading } = this;
    return (await within(ANSWER_MS, reading)) === 'late' ? DOWN : reading;
  }

  private async readNow(): Promise<readonly GaugeReading[]> {
    const readings = await this.query().catch(() => DOWN);
    this.last = { at: performance.now(), readings };
    return readings;
  }

  private async query(): Promise<readonly GaugeReading[]> {
    const { database } = this;
    const sessions = await listSessions(database);
    const due = await findDueRuns(database);
    const blocked = await findBlockedRuns(database);
    const suspects = await findSuspects(database);
    const counts = await countForMetrics(database);
    const alive = sessions.filter(({ isExpired }) => !isExpired);
    const served = new Set([...(this.served() ?? []).map(dispatchKeyText), ...alive.flatMap(({ serves }) => serves)]);
    const now = this.now();
    const add = (sum: number, value: number): number => sum + value;
    const oldest = Math.max;
    const part = (definition: MetricDefinition, wanted: CountedPart, of: 'count' | 'age', merge = add): GaugeReading => {
      const rows = counts.filter((row) => row.part === wanted);
      const values = rows.map(
        (row) => [definition.labels.length > 0 ? [row.label] : [], of === 'count' ? row.count : (row.ageSeconds ?? 0)] as const,
      );
      return { definition, values: bounded(values, merge) };
    };
    const byKey = <K extends DispatchKey>(
      definition: MetricDefinition,
      rows: readonly K[],
      valueOf: (row: K) => number,
      merge = add,
    ): GaugeReading => ({
      definition,
      values: bounded(
        rows.map((row) => [[row.queue, row.name, String(row.version)], valueOf(row)] as const),
        merge,
      ),
    });
    return [
      { definition: UP, values: [[[], 1]] },
      byKey(DUE, due, (row) => row.due),
      byKey(DUE_AGE, due, ({ oldestDueAt }) => Math.max(0, now - oldestDueAt) / 1_000, oldest),
      byKey(
        UNREGISTERED,
        due.filter((row) => !served.has(dispatchKeyText(row))),
        (row) => row.due,
      ),
      byKey(BLOCKED, blocked, (row) => row.blocked),
      byKey(SUSPECTS, suspects, (row) => row.suspects),
      {
        definition: SESSIONS,
        values: [
          [['alive'], alive.length],
          [['expired'], sessions.length - alive.length],
        ],
      },
      part(RUNNING, 'running', 'count'),
      part(SLEEPING, 'sleeping', 'count'),
      part(PAUSED, 'paused', 'count'),
      part(FAILED, 'failed', 'count'),
      part(WAITS, 'wait', 'count'),
      part(INBOX, 'inbox', 'count'),
      part(INBOX_AGE, 'inbox', 'age'),
      part(EVENTS, 'event', 'count'),
      part(EVENT_AGE, 'event', 'age', oldest),
      part(EMITTED, 'emitted', 'count'),
      part(EMITTED_AGE, 'emitted', 'age'),
      part(OVERDUE, 'overdue', 'count'),
      part(OVERDUE_AGE, 'overdue', 'age', oldest),
      part(FAILING, 'failing', 'count'),
      part(OUTBOX, 'outbox', 'count'),
      part(OUTBOX_AGE, 'outbox', 'age'),
      part(QUEUED, 'queued', 'count'),
      part(QUEUED_AGE, 'queued', 'age', oldest),
      part(PLACES, 'place', 'count'),
      part(SUSPENDED_PLACES, 'suspendedPlace', 'count'),
      part(QUEUE_PAUSED, 'pausedQueue', 'count', oldest),
    ];
  }
}

type Values = readonly (readonly [LabelValues, number])[];

/** Keeps the first combinations of labels, and merges all others into one. */
function bounded(values: Values, merge: (one: number, other: number) => number): Values {
  if (values.length <= MAX_COMBINATIONS) return values;
  const kept = values.slice(0, MAX_COMBINATIONS - 1);
  const others = values.slice(MAX_COMBINATIONS - 1);
  const labels = others[0]![0].map(() => OTHER);
  return [...kept, [labels, others.map(([, value]) => value).reduce(merge)]];
}
