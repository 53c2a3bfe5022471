import { migration } from './migration.js';

const nextSlotSql = (schema: string, slot: string): string => `
CREATE OR REPLACE FUNCTION ${schema}.workflow_next_slot(arrival timestamptz, step_ms double precision, burst integer, since timestamptz)
RETURNS timestamptz LANGUAGE sql STABLE AS $slot$
  SELECT ${slot}
$slot$;
`;

const EARLIEST = "greatest(since, arrival - (burst - 1) * step_ms * interval '1 millisecond')";

/**
 * Keeps the fractions of a millisecond in the slots of rate limits. A rate limit counts its next
 * slot from the last one, so a rounded slot lost a part of a millisecond each time: a limit of 500
 * runs per second admitted 336.
 */
export const ExactSlots1764400010000 = migration(
  'ExactSlots1764400010000',
  (schema) => nextSlotSql(schema, EARLIEST),
  (schema) => nextSlotSql(schema, `date_trunc('milliseconds', ${EARLIEST} + interval '0.999 milliseconds')`),
);
