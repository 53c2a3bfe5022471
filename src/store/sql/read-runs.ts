import type { RunStatus, ShownStatus } from '../../core/run.js';
import type { ScheduledFor } from '../../core/schedules/schedule-types.js';
import { COMPENSATING_KEY } from '../../core/step-key-format.js';
import type { OpenWait } from '../../core/step.js';
import type { Database, Statement } from '../database.js';
import { currentRunSql, shownStatusSql } from './chains.js';
import type { QueueLimitName } from '../../core/queue-limits.js';
import { queueWaitSql } from './places.js';
import { scheduledForSql } from './scheduled-for.js';
import type { ShownBody } from './show-bodies.js';

/**
 * Status and result of a run, for callers that wait for its end. The output and the error are JSON
 * text, and null until the run ends.
 */
export interface RunEnd {
  readonly status: RunStatus;
  readonly output: string | null;
  readonly error: string | null;
  /** Id of the run that continues this one. */
  readonly continuedAs: string | null;
}

const ENDS: Statement = {
  name: 'durable_run_ends',
  text: (schema) => `SELECT x.id, r.id, r.status, r.output::text, r.error::text FROM unnest($1::text[]) AS x(id)
CROSS JOIN LATERAL ${currentRunSql(schema, 'x.id', 'id, status, output, error')} AS r`,
};

/** Status and result of the run with a given id, or of the last run that continues it. */
export interface CurrentRunEnd extends Omit<RunEnd, 'continuedAs'> {
  readonly runId: string;
}

/**
 * Reads the status and result of runs, by the given ids. For a continued run, reads those of the
 * last run that continues it. Ids without a run have no entry.
 */
export async function readRunEnds(database: Database, ids: readonly string[]): Promise<Map<string, CurrentRunEnd>> {
  const rows = await database.query<[string, string, RunStatus, string | null, string | null]>(ENDS, [ids]);
  return new Map(rows.map(([id, runId, status, output, error]) => [id, { runId, status, output, error }]));
}

/**
 * A run as the database has it. Payloads are JSON text, times are in milliseconds since the epoch.
 */
export interface RunDescriptionRow {
  readonly id: string;
  readonly name: string;
  readonly version: number;
  readonly queue: string;
  readonly priority: number;
  readonly status: ShownStatus;
  readonly input: string;
  readonly output: string | null;
  readonly error: string | null;
  readonly createdAt: number;
  readonly startedAt: number | null;
  readonly finishedAt: number | null;
  readonly wakeAt: number | null;
  readonly cancelRequestedAt: number | null;
  readonly epoch: number;
  readonly generation: number;
  readonly deploymentId: string | null;
  readonly blockedDeployments: readonly string[];
  readonly parentRunId: string | null;
  readonly parentStepKey: string | null;
  readonly children: readonly { readonly runId: string; readonly name: string; readonly status: ShownStatus }[];
  readonly continuedAs: string | null;
  readonly continuedFrom: string | null;
  readonly forkedFrom: string | null;
  /** Id of the run that executes the batch of which this run is a member. */
  readonly batchId: string | null;
  /** True when the run executes a batch. */
  readonly isBatch: boolean;
  /** Schedule and due time of the run; null when no schedule started the run. */
  readonly schedule: ScheduledFor | null;
  readonly deadlineAt: number | null;
  readonly readyAt: number | null;
  /** True when a living worker claims runs with the queue, workflow and version of this run. */
  readonly isServed: boolean;
  /**
   * Dispatch keys that living workers claim, as text. They show whether a worker claims a similar
   * key, such as another version. Read only for runs that a worker should claim or wake now,
   * otherwise empty.
   */
  readonly served: readonly string[];
  /** True when the run waits although its wake time has passed: no worker has woken it yet. */
  readonly isOverdue: boolean;
  /** Limit of its queue that the run waits for; null unless the run waits for a place. */
  readonly queueWait: { readonly key: string | null; readonly limit: QueueLimitName; readonly position: number } | null;
  readonly isBlocked: boolean;
  readonly blockedAt: number | null;
  /** JSON text that says how the code did not fit the run's history. */
  readonly blockedReason: string | null;
  /** Time at which the pause of a paused run was requested. */
  readonly pausedAt: number | null;
  /** JSON text with the actor and the reason of that request. */
  readonly pausedBy: string | null;
  /** Time at which the compensations of the run began; null before. */
  readonly compensatingSince: number | null;
  /** Published values as JSON texts, by key. */
  readonly state: Readonly<Record<string, string>>;
  readonly tags: Readonly<Record<string, string>>;
  /**
   * Process that executes the run. `bodies` lists the step bodies that it is executing, for all its
   * runs. `isExpired` is true when its heartbeat is overdue.
   */
  readonly worker: {
    readonly host: string;
    readonly pid: number;
    readonly isExpired: boolean;
    readonly bodies: readonly ShownBody[] | null;
  } | null;
  readonly waits: readonly {
    readonly stepKey: string;
    readonly kind: OpenWait['kind'];
    readonly name: string | null;
    readonly wakeAt: number | null;
    readonly openedAt: number;
    readonly attempts: number;
  }[];
}

/**
 * Maximum number of child runs in a description. A listing by `parentRunId` returns all children.
 */
const MAX_CHILDREN = 100;

/**
 * Maximum number of the workers' dispatch keys that are read for the description of a pending run.
 */
const MAX_SERVED = 10_000;

const milliseconds = (column: string): string => `extract(epoch FROM ${column})::float8 * 1000`;

/** Condition for a waiting run that a worker should have woken. */
const OVERDUE = `(r.status = 'waiting' AND NOT r.is_blocked AND coalesce(r.wake_at <= now(), false))`;
const DUE = `(r.status = 'pending' OR ${OVERDUE})`;

const describeSql = (schema: string, id: string): string => `SELECT json_build_object(
  'id', r.id, 'name', r.name, 'version', r.version, 'queue', r.queue, 'priority', r.priority, 'status', ${shownStatusSql('r')},
  'createdAt', ${milliseconds('r.created_at')}, 'startedAt', ${milliseconds('r.started_at')}, 'finishedAt', ${milliseconds('r.finished_at')},
  'wakeAt', ${milliseconds('r.wake_at')}, 'cancelRequestedAt', ${milliseconds('r.cancel_requested_at')},
  'epoch', r.epoch, 'generation', r.generation, 'deploymentId', r.deployment_id, 'blockedDeployments', coalesce(r.blocked_deployments, '{}'),
  'parentRunId', r.parent_run_id, 'parentStepKey', r.parent_step_key, 'continuedAs', r.continued_as, 'continuedFrom', r.continued_from,
  'forkedFrom', r.forked_from, 'batchId', r.batch_id, 'isBatch', r.batch_size IS NOT NULL, 'schedule', ${scheduledForSql('r')}, 'deadlineAt', ${milliseconds('r.deadline_at')}, 'readyAt', ${milliseconds('r.ready_at')},
  'isServed', EXISTS (SELECT 1 FROM ${schema}.workflow_sessions s
    WHERE s.expires_at >= now() AND r.queue || E'\\n' || r.name || E'\\n' || r.version = ANY (s.serves)),
  'served', coalesce((SELECT json_agg(DISTINCT k.key) FROM (SELECT unnest(s.serves) AS key FROM ${schema}.workflow_sessions s
    WHERE ${DUE} AND s.expires_at >= now() LIMIT ${MAX_SERVED}) AS k), '[]'),
  'queueWait', ${queueWaitSql(schema)}, 'isOverdue', ${OVERDUE}, 'pausedAt', ${milliseconds('p.at')}, 'pausedBy', p.data::text,
  'isBlocked', r.is_blocked AND r.status IN ('waiting', 'paused'), 'blockedAt', ${milliseconds('b.at')}, 'blockedReason', b.data::text,
  'compensatingSince', (SELECT ${milliseconds('u.finished_at')} FROM ${schema}.workflow_steps u WHERE u.run_id = r.id AND u.step_key = '${COMPENSATING_KEY}'),
  'children', coalesce((SELECT json_agg(json_build_object('runId', c.id, 'name', c.name, 'status', ${shownStatusSql('c')}) ORDER BY c.created_at, c.id) FROM (
    SELECT id, name, status, continued_as, created_at FROM ${schema}.workflow_runs
    WHERE parent_run_id = r.id ORDER BY created_at DESC, id DESC LIMIT ${MAX_CHILDREN}) AS c), '[]'),
  'state', coalesce((SELECT json_object_agg(s.key, s.value::text) FROM ${schema}.workflow_state s WHERE s.run_id = r.id), '{}'),
  'tags', coalesce((SELECT json_object_agg(t.key, t.value) FROM ${schema}.workflow_tags t WHERE t.run_id = r.id), '{}'),
  'worker', (SELECT json_build_object('host', o.host, 'pid', o.pid, 'isExpired', o.expires_at < now(), 'bodies', o.bodies) FROM ${schema}.workflow_sessions o WHERE o.id = r.session_id),
  'waits', coalesce((SELECT json_agg(json_build_object('stepKey', w.step_key, 'kind', w.kind, 'name', w.name,
    'wakeAt', ${milliseconds('w.wake_at')}, 'attempts', w.attempts, 'openedAt', ${milliseconds('w.opened_at')})
    ORDER BY w.opened_at, w.step_key) FROM ${schema}.workflow_waits w WHERE w.run_id = r.id), '[]')
)::text, r.input::text, r.output::text, r.error::text
FROM ${schema}.workflow_runs r
LEFT JOIN LATERAL (
  SELECT at, data FROM ${schema}.workflow_run_log WHERE r.is_blocked AND run_id = r.id AND kind = 'blocked' ORDER BY id DESC LIMIT 1
) AS b ON true
LEFT JOIN LATERAL (
  SELECT at, data FROM ${schema}.workflow_run_log WHERE r.status = 'paused' AND run_id = r.id AND kind = 'paused' ORDER BY id DESC LIMIT 1
) AS p ON true WHERE r.id = ${id}`;

const DESCRIBE: Statement = { name: 'durable_describe_run', text: (schema) => describeSql(schema, '$1') };

const DESCRIBE_CURRENT: Statement = {
  name: 'durable_describe_current_run',
  text: (schema) => describeSql(schema, `(SELECT id FROM ${currentRunSql(schema, '$1', 'id')} AS current)`),
};

/**
 * Reads the description of a run. `own` means the run with this id, and `current` the last run that
 * continues it. Undefined when no run has this id.
 */
export async function describeRun(database: Database, id: string, of: 'current' | 'own'): Promise<RunDescriptionRow | undefined> {
  const statement = of === 'own' ? DESCRIBE : DESCRIBE_CURRENT;
  const [row] = await database.query<[string, string, string | null, string | null]>(statement, [id]);
  if (!row) return undefined;
  const [fields, input, output, error] = row;
  return { ...(JSON.parse(fields) as Omit<RunDescriptionRow, 'input' | 'output' | 'error'>), input, output, error };
}

const STATUS: Statement = {
  name: 'durable_run_status',
  text: (schema) => `SELECT status FROM ${schema}.workflow_runs WHERE id = $1`,
};

const CURRENT_STATUS: Statement = {
  name: 'durable_current_run_status',
  text: (schema) => `SELECT status FROM ${currentRunSql(schema, '$1', 'status')} AS current`,
};

const SHOWN_STATUS: Statement = {
  name: 'durable_shown_run_status',
  text: (schema) => `SELECT ${shownStatusSql('r')} FROM ${schema}.workflow_runs r WHERE r.id = $1`,
};

/**
 * Reads the status that users see. `own` means the run with this id, and `current` the last run
 * that continues it. Undefined when no run has this id.
 */
export async function readShownStatus(database: Database, id: string, of: 'current' | 'own'): Promise<ShownStatus | undefined> {
  const [row] = await database.query<[ShownStatus]>(of === 'own' ? SHOWN_STATUS : CURRENT_STATUS, [id]);
  return row?.[0];
}

export async function readRunStatus(database: Database, id: string): Promise<RunStatus | undefined> {
  const [row] = await database.query<[RunStatus]>(STATUS, [id]);
  return row?.[0];
}

const NAMES: Statement = {
  name: 'durable_run_names',
  text: (schema) => `SELECT id, name FROM ${schema}.workflow_runs WHERE id = ANY ($1::text[])`,
};

/** Reads the workflow names of these runs. Runs that do not exist have no entry. */
export async function readRunNames(database: Database, ids: readonly string[]): Promise<Map<string, string>> {
  return new Map(await database.query<[string, string]>(NAMES, [ids]));
}
