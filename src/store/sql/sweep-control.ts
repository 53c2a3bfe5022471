import type { NotifiedRun } from '../../core/run-notices.js';
import type { Database, Statement } from '../database.js';
import { bumpRuns } from './bump-runs.js';
import { CONTROL_REQUESTS, LIMITED } from './message-kinds.js';
import { notifyOfPause } from './pause-run.js';

/**
 * Finds requests that a run has not followed yet although its status allows it: requests to pause
 * the run or to resolve a step. The sender notifies the run in a second statement, which may have
 * been lost. Paused runs are left out, because their request stays in the inbox.
 */
const MISSED: Statement = {
  name: 'durable_sweep_control',
  text: (schema) => `SELECT DISTINCT i.run_id, i.kind FROM ${schema}.workflow_inbox i
CROSS JOIN LATERAL (
  SELECT 1 FROM ${schema}.workflow_runs WHERE id = i.run_id
    AND (status = 'running' OR i.kind = 'pause' AND status IN ('pending', 'waiting') OR i.kind <> 'pause' AND status = 'waiting') LIMIT 1
) AS r
WHERE i.kind NOT IN ${LIMITED} AND i.kind IN ${CONTROL_REQUESTS}
  AND i.created_at BETWEEN now() - interval '1 minute' AND now() - interval '5 seconds'
ORDER BY i.run_id LIMIT 1000`,
};

/**
 * Notifies runs of operators' requests that the runs may have missed. Leaves out requests older
 * than a minute, because their runs have been notified several times by then. Without this limit,
 * an operator's result for a step that the run has not called yet would wake the run for ever: the
 * result stays in the inbox until the run calls the step.
 */
export async function sweepControl(database: Database): Promise<NotifiedRun[]> {
  const rows = await database.query<[string, string]>(MISSED, []);
  const toPause = rows.filter(([, kind]) => kind === 'pause').map(([id]) => id);
  const toBump = new Set(rows.filter(([, kind]) => kind !== 'pause').map(([id]) => id));
  return [
    ...(toPause.length > 0 ? await notifyOfPause(database, toPause) : []),
    ...(toBump.size > 0 ? await bumpRuns(database, [...toBump]) : []),
  ];
}
