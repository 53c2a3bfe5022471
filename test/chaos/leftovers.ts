import type { Check } from './checks.js';
import type { ChaosDatabase } from './database.js';
import type { ChaosWorker } from './fleet.js';

/**
 * Bytes by which a worker's memory may grow after the first third. A worker that kept every run
 * would exceed them.
 */
const GROWTH_BYTES = 12 << 20;

/**
 * Rows that must be gone when everything has ended. Each statement returns texts that name them.
 */
export const LEFTOVERS: Record<string, string> = {
  'no run is left that is due, running or waiting': `SELECT id || ' is ' || status || ', epoch ' || epoch || ', losses ' || worker_losses || coalesce(', session ' || session_id, '')
      || coalesce(', wakes ' || wake_at, '') || coalesce(', blocked for ' || blocked_deployments::text, '') AS text
    FROM durable.workflow_runs WHERE finished_at IS NULL`,
  'no run belongs to a session that is gone': `SELECT id AS text FROM durable.workflow_runs r WHERE session_id IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM durable.workflow_sessions s WHERE s.id = r.session_id)`,
  'no wait of an ended run is left': `SELECT run_id || ' ' || step_key AS text FROM durable.workflow_waits`,
  'no message to an ended run is left': `SELECT run_id || ' ' || kind AS text FROM durable.workflow_inbox`,
  'no session says that it executes a run alone': `SELECT id::text AS text FROM durable.workflow_sessions WHERE exclusive_run_id IS NOT NULL`,
  'no transaction of ours is open': `SELECT pid || ' ' || left(query, 80) AS text FROM pg_stat_activity WHERE datname = current_database()
    AND (application_name LIKE 'nestjs-durable%' OR application_name = 'chaos-bank') AND state LIKE 'idle in transaction%' AND state_change < now() - interval '1 second'`,
  'no failed attempt is told of twice': `SELECT run_id || ' ' || step_key AS text FROM durable.workflow_run_log
    WHERE kind = 'attempt_failed' GROUP BY run_id, step_key, attempt, epoch HAVING count(*) > 1`,
};

/** Checks which rows are left in the tables. */
export async function checkLeftovers(database: ChaosDatabase, workers: readonly ChaosWorker[]): Promise<Check[]> {
  const checks = await checkRows(database, LEFTOVERS);
  const alive = workers.flatMap(({ pid, state }) => (state === 'down' ? [] : [pid!]));
  const sessions = await database.query<{ pid: number; lives: boolean }>(
    'SELECT pid, expires_at > now() AS lives FROM durable.workflow_sessions',
  );
  const problems = sessions.filter(({ pid, lives }) => !lives || !alive.includes(pid)).map(({ pid }) => `a dead session of process ${pid}`);
  for (const pid of alive) {
    const count = sessions.filter((session) => session.pid === pid).length;
    if (count !== 1) problems.push(`process ${pid} has ${count} sessions`);
  }
  checks.push({ name: 'every living worker has one session, and nobody else', problems });
  return checks;
}

/** Looks for rows that must not be there; each statement returns texts that name them. */
export async function checkRows(database: ChaosDatabase, unwanted: Readonly<Record<string, string>>): Promise<Check[]> {
  const checks: Check[] = [];
  for (const [name, sql] of Object.entries(unwanted)) {
    const rows = await database.query<{ text: string }>(`${sql} LIMIT 20`);
    checks.push({ name, problems: rows.map(({ text }) => text) });
  }
  return checks;
}

/** Memory of the workers that have lived through all of it. */
export function checkMemory(workers: readonly ChaosWorker[]): Check & { readonly growth: readonly string[] } {
  const problems: string[] = [];
  const growth: string[] = [];
  for (const { index, isElder, heaps } of workers) {
    if (!isElder || heaps.length < 3) continue;
    const early = heaps[Math.floor(heaps.length / 3)]!;
    const last = heaps.at(-1)!;
    const text = `worker ${index}: ${megabytes(early)} then ${megabytes(last)} MB`;
    growth.push(text);
    if (last - early > GROWTH_BYTES) problems.push(`${text} (${heaps.map(megabytes).join(', ')})`);
  }
  return { name: 'memory of workers that live long is flat', problems, growth };
}

const megabytes = (bytes: number): string => (bytes / 1_048_576).toFixed(1);
