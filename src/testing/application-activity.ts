import type { ManualClock } from '../core/manual-clock.js';
import { ANY_VERSION } from '../core/run.js';
import type { WorkerActivity } from '../host/polling-host.js';
import type { ScopedRuntime } from '../host/runtime-scope.js';
import { queueIsFree } from '../store/sql/schedules.js';
import type { Body } from '../worker/loop-watch.js';
import type { TestDatabase } from './database/test-database.js';

/** State of the work of an application under test. */
export interface Activity {
  /**
   * `idle`: every run has ended or waits. `bodies`: apart from that, only step bodies are being
   * executed. `busy`: the module itself has work to do.
   */
  readonly state: 'idle' | 'bodies' | 'busy';
  readonly bodies: readonly Body[];
  /** Time at which the first run, event or timeout is due; infinity when none is. */
  readonly nextWake: number;
  /** Functions that admit runs to the queues in which runs wait for a place. */
  readonly admissions: readonly (() => Promise<void>)[];
}

const UNFINISHED = 'o.started_at IS NOT NULL AND o.finished_at IS NULL';

/**
 * Returns the statement that reads whether the schema has work that is due ($1: names of the
 * workflows that the application executes, with queues and versions; $2: the names alone), how many
 * runs the worker owns, the queues in which runs wait for a place, and the next time at which work
 * is due.
 */
const activityOf = (schema: string): string => `SELECT
  EXISTS (SELECT 1 FROM ${schema}.workflow_runs r WHERE CASE r.status
    WHEN 'pending' THEN r.queue || E'\\n' || r.name || E'\\n' || r.version = ANY ($1::text[])
    WHEN 'waiting' THEN NOT r.is_blocked AND r.wake_at <= now()
    ELSE false END)
  OR EXISTS (SELECT 1 FROM ${schema}.workflow_run_events e WHERE e.available_at <= now())
  OR EXISTS (SELECT 1 FROM ${schema}.workflow_events WHERE dispatched_at IS NULL)
  OR EXISTS (SELECT 1 FROM ${schema}.workflow_schedules s WHERE s.workflow = ANY ($2::text[]) AND (s.fire_at <= now() OR ${queueIsFree(schema, 's')}))
  OR EXISTS (SELECT 1 FROM ${schema}.workflow_operations o WHERE ${UNFINISHED} AND o.next_at <= now()),
  (SELECT count(*)::int FROM ${schema}.workflow_runs r WHERE r.status = 'running'),
  ARRAY(SELECT q.name FROM ${schema}.workflow_queues q WHERE q.kind = 'queue' AND q.is_limited AND NOT q.is_paused
    AND EXISTS (SELECT 1 FROM ${schema}.workflow_runs r WHERE r.place = 'queued' AND r.queue = q.name)),
  least(
    (SELECT extract(epoch FROM min(r.wake_at))::float8 * 1000 FROM ${schema}.workflow_runs r
      WHERE r.status = 'waiting' AND NOT r.is_blocked AND r.wake_at > now()),
    (SELECT extract(epoch FROM min(e.available_at))::float8 * 1000 FROM ${schema}.workflow_run_events e
      WHERE e.available_at > now()),
    (SELECT extract(epoch FROM min(s.fire_at))::float8 * 1000 FROM ${schema}.workflow_schedules s
      WHERE s.workflow = ANY ($2::text[]) AND s.fire_at > now()),
    (SELECT extract(epoch FROM min(o.next_at))::float8 * 1000 FROM ${schema}.workflow_operations o
      WHERE ${UNFINISHED} AND o.next_at > now()))`;

type Row = [isDue: boolean, running: number, queues: string[], nextWake: number | null];

/** Reads what the modules of an application are doing. */
export async function readActivity(runtimes: readonly ScopedRuntime[], database: TestDatabase, clock: ManualClock): Promise<Activity> {
  // Reads the process before the database, which already has all work that the process has
  // finished. While the process works, no query is needed.
  const before = runtimes.map(processActivity);
  if (clock.isRinging || before.some(({ state }) => state === 'busy')) return BUSY;
  let nextWake = clock.nextAlarm;
  const admissions: (() => Promise<void>)[] = [];
  for (const [index, { workers, database: own, admissions: ofRuntime }] of runtimes.entries()) {
    const [row] = await database.query<Row>(activityOf(own.schema), [servedBy(workers), namesServedBy(workers)]);
    const [isDue, running, queues, next] = row!;
    const { state, owned } = before[index]!;
    // The services pause in real time, and would notice some of this work only after a second.
    if (isDue && state === 'idle') workers.polling?.workNow();
    // While bodies are executed, a due run may have to wait for its turn (`worker.concurrency`).
    if (running !== owned || (isDue && state !== 'bodies')) return BUSY;
    admissions.push(...queues.map((queue) => () => ofRuntime.request(queue)));
    nextWake = Math.min(nextWake, next === null ? Number.POSITIVE_INFINITY : Math.ceil(next));
  }
  const after = runtimes.map(processActivity);
  if (clock.isRinging || after.some(({ state }, index) => state !== before[index]!.state)) return BUSY;
  const bodies = after.flatMap((each) => each.bodies);
  return { state: bodies.length > 0 ? 'bodies' : 'idle', bodies, nextWake, admissions };
}

const BUSY: Activity = { state: 'busy', bodies: [], nextWake: Number.NEGATIVE_INFINITY, admissions: [] };

/** Returns the workflows that a worker executes, in the form that the statement compares. */
function servedBy({ known }: ScopedRuntime['workers']): string[] {
  return (known.keys ?? []).flatMap(({ queue, name, version }) => [version, ANY_VERSION].map((each) => `${queue}\n${name}\n${each}`));
}

function namesServedBy({ known }: ScopedRuntime['workers']): string[] {
  return (known.keys ?? []).map(({ name }) => name);
}

/** Work of a process. `owned` is the number of runs that have the status 'running'. */
interface ProcessActivity extends Pick<Activity, 'state' | 'bodies'> {
  readonly owned: number;
}

const NO_WORKER: WorkerActivity = { runs: 0, bodies: [], runsBeforeSlots: [], runsWithoutPlace: [], unopened: 0 };

function processActivity({ workers, notifier, admissions }: ScopedRuntime): ProcessActivity {
  const { runs, bodies, runsBeforeSlots, runsWithoutPlace, unopened } = workers.polling?.activity ?? NO_WORKER;
  // Only the end of a body gives a place to a run that waits for one.
  const stopped = bodies.length > 0 ? runsWithoutPlace : [];
  const standing = new Set([...bodies.map(({ runId }) => runId), ...runsBeforeSlots, ...stopped]);
  // More active runs than runs that stand still means that a run is about to change.
  const isChanging = runs !== standing.size || admissions.isBusy;
  const { isCallingListeners, isDispatching, isStartingScheduled } = workers;
  if (isChanging || !notifier.isIdle || isCallingListeners || isDispatching || isStartingScheduled) return { ...BUSY, owned: 0 };
  return { state: bodies.length > 0 ? 'bodies' : 'idle', bodies, owned: runs + unopened };
}
