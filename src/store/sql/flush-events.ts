import type { Section } from './flush-section.js';
import { eventColumns, recordEvents } from './run-events.js';

/**
 * Records events of the runs that the section `changes` has ended or blocked. A flush contains this
 * section only when a listener receives one of these events.
 */
export const runEvents: Section = {
  key: 'runEvents',
  sql: (schema, rows) =>
    recordEvents(schema, {
      from: `changes r JOIN ${rows} ON x.event = CASE WHEN r.is_blocked THEN 'run.blocked' ELSE 'run.' || r.status END`,
      where: 'r.continued_as IS NULL',
      event: 'x.event',
      error: 'r.error',
      facts: `'code', r.error_code, 'failedStep', r.failed_step`,
    }),
};

/** Records events of the steps that the section `steps` has inserted as failed. */
export const stepEvents: Section = {
  key: 'stepEvents',
  sql: (schema, rows) =>
    recordEvents(schema, {
      from: `(SELECT run_id, step_key, error, attempts FROM steps WHERE kind = 'step' AND status = 'failed' OFFSET 0) AS t
    CROSS JOIN LATERAL (SELECT ${eventColumns('o')} FROM ${schema}.workflow_runs o WHERE o.id = t.run_id LIMIT 1) AS r CROSS JOIN ${rows}`,
      event: 'x.event',
      error: 't.error',
      facts: `'stepKey', t.step_key, 'attempts', t.attempts`,
    }),
};
