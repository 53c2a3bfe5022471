import { grouped, isGivenUp, type Check, type Outcome } from '../checks.js';
import { LEFTOVERS } from '../leftovers.js';
import { isTransactional } from '../shapes.js';
import type { ApplicationLog } from './application-fleet.js';

/** Rows that must be gone when everything has ended. */
export const BOTH_LEFTOVERS: Readonly<Record<string, string>> = {
  ...LEFTOVERS,
  'no run is owned': `SELECT id || ' by ' || session_id AS text FROM durable.workflow_runs WHERE session_id IS NOT NULL`,
};

/** A process that also polls keeps its session. Otherwise a session ends with the deliveries. */
export const QSTASH_LEFTOVERS: Readonly<Record<string, string>> = {
  ...BOTH_LEFTOVERS,
  'no session is left between deliveries': `SELECT 'of process ' || pid || ', expires ' || expires_at AS text FROM durable.workflow_sessions`,
};

/** Rows of the outbox that are left long after the wake-ups were published again. */
export const OUTBOX: Readonly<Record<string, string>> = {
  'no entry of the outbox is left': `SELECT run_id || ' ' || seq AS text FROM durable.workflow_outbox`,
};

/**
 * Checks the properties that hold with QStash in addition to those of workers that are cut off and
 * frozen.
 */
export function checkDeliveries(outcome: Outcome, log: ApplicationLog): Check[] {
  return [
    { name: 'no run was given up', problems: [...outcome.runs.values()].filter(isGivenUp).map(({ id }) => id) },
    { name: 'bodies are executed once, but for those whose process died or lost its session', problems: [...repeated(outcome, log)] },
  ];
}

function* repeated(outcome: Outcome, log: ApplicationLog): Generator<string> {
  for (const [runId, bodies] of outcome.bodies) {
    const plain = bodies.filter(({ step_key }) => !isTransactional(step_key));
    const attempts = grouped(plain, ({ step_key, attempt }) => `${step_key}, attempt ${attempt}`);
    for (const [attempt, executions] of attempts) {
      const held = executions.filter(({ pid }) => !log.fenced.has(pid));
      const inLiving = held.filter(({ pid }) => !log.crashed.has(pid));
      // Of two in one process one is too many: a process dies once.
      const isTwiceInOne = new Set(held.map(({ pid }) => pid)).size < held.length;
      if (inLiving.length > 1 || isTwiceInOne) yield `${runId} ${attempt}: in ${executions.map(({ pid }) => pid).join(', ')}`;
    }
  }
}
