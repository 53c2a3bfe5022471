import { createHash } from 'node:crypto';

import type { ClientBase } from 'pg';

import type { OwnedRun } from '../../core/run.js';
import type { StepResult } from '../../core/transition.js';
import { COLUMNS, undoableStepRow } from '../flush-columns.js';
import type { SessionFence } from '../session-fence.js';
import { CALLER_MARK } from './caller-mark.js';
import { columnList, fromMs, valueList } from './flush-section.js';
import { SERVER } from './server-identity.js';

/**
 * Longest time between this statement and COMMIT. The transaction has locked the run's row by
 * then, so the server ends the connection of a process that is frozen there.
 */
const MAX_IDLE = '5s';

/** Longest time that the statement, and deferred constraints at the commit, wait for a lock. */
const LOCK_TIMEOUT = '5s';

/** Connection of the application's pool, which executes the transaction of a step. */
export type CallerConnection = ClientBase & {
  /** Number of the backend, unless a pooler invents it. */
  readonly processID?: number | null;
  /** Closes the connection, also while the server executes a statement. */
  end?(): Promise<void>;
  /** State of the connection, in newer versions of the driver: `I` outside of a transaction. */
  getTransactionStatus?(): string | null;
};

/** Result of a statement that records a step in the transaction of its body. */
export interface RecordedInTransaction {
  /** True when the session exists, on the expected server. */
  readonly hasSession: boolean;
  /** True when the step was recorded: the run is owned, and the step had no result. */
  readonly isRecorded: boolean;
  /** Identity of the server that answered. */
  readonly server: string;
}

/** Open wait of the step, such as the wait for its next attempt, which the record closes. */
type OpenWaitOfStep = 'closed' | 'none';

/**
 * Builds the statement. It locks the run's row against every change of its owner. Like every
 * statement on a connection of the application, it returns only text.
 *
 * The statement does not lock the session's row. Every change of owner updates the run's row. A
 * takeover does so after it has deleted the session. So either the takeover waits for this
 * transaction, and the next owner sees the record. Or this statement sees the change, and records
 * nothing.
 */
function recordSql(schema: string, wait: OpenWaitOfStep): string {
  const columns = COLUMNS.undoableSteps;
  const parameters = Object.fromEntries(columns.map(([name, type], index) => [name, `$${index + 3}::${type}`]));
  const values = { ...parameters, started_at: fromMs(parameters['started_at']!), finished_at: fromMs(parameters['finished_at']!) };
  const closed = `,
closed AS (
  DELETE FROM ${schema}.workflow_waits w USING own WHERE w.run_id = own.id AND w.step_key = $5::text RETURNING 1
)`;
  return `${CALLER_MARK} WITH session AS MATERIALIZED (
  SELECT id FROM ${schema}.workflow_sessions WHERE id = $1::bigint AND ${SERVER} = $2::text
), own AS MATERIALIZED (
  SELECT id FROM ${schema}.workflow_runs
  WHERE id = $3::text AND (session_id = (SELECT id FROM session) AND epoch = $4::int AND status = 'running') IS TRUE FOR SHARE
), recorded AS (
  INSERT INTO ${schema}.workflow_steps (${columnList(columns)}) SELECT ${valueList(columns, values)} FROM own
  ON CONFLICT (run_id, step_key) DO NOTHING
  RETURNING 1
)${wait === 'closed' ? closed : ''}
SELECT (SELECT count(*) FROM session)::text, (SELECT count(*) FROM recorded)::text, ${SERVER}
WHERE (SELECT set_config('lock_timeout', '${LOCK_TIMEOUT}', true)) IS NOT NULL
  AND (SELECT set_config('idle_in_transaction_session_timeout', '${MAX_IDLE}', true)) IS NOT NULL`;
}

interface Prepared {
  readonly name: string;
  readonly text: string;
}

/** Statements by schema, each in a form with and a form without the end of an open wait. */
const prepared = new Map<string, Prepared>();

/**
 * Returns the statement with a name that depends on its text: on one connection, modules with
 * several schemas may prepare it.
 */
function statementFor(schema: string, wait: OpenWaitOfStep): Prepared {
  const key = `${wait} ${schema}`;
  let statement = prepared.get(key);
  if (!statement) {
    const text = recordSql(schema, wait);
    statement = { name: `durable_record_step_${createHash('sha256').update(text).digest('hex').slice(0, 16)}`, text };
    prepared.set(key, statement);
  }
  return statement;
}

/**
 * Records the result of a step in the transaction of its body, as the last statement before COMMIT.
 * Writes nothing when the session does not own the run under the epoch of the run.
 *
 * @param client connection of the transaction
 * @param naming `named` prepares the statement once for each connection; a pooler does not allow it
 */
export async function recordInTransaction(
  client: CallerConnection,
  schema: string,
  fence: SessionFence,
  { id: runId, epoch }: Pick<OwnedRun, 'id' | 'epoch'>,
  { step, closesWait }: StepResult,
  naming: 'named' | 'unnamed',
): Promise<RecordedInTransaction> {
  const { name, text } = statementFor(schema, closesWait ? 'closed' : 'none');
  const values = [fence.id, fence.server, ...undoableStepRow({ kind: 'step', runId, epoch, step, closesWait, takes: null })];
  const named = naming === 'named' ? { name } : {};
  const { rows } = await client.query<[string, string, string]>({ ...named, text, values, rowMode: 'array' });
  const [sessions, recorded, server] = rows[0]!;
  return { hasSession: sessions === '1', isRecorded: recorded === '1', server };
}
