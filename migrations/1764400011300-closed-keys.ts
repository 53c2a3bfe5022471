import { admissionSql, TOGETHER, type AdmissionForm } from './1764400010001-claiming-admission.js';
import { APART } from './1764400011200-apart-admission.js';
import { migration } from './migration.js';

/**
 * SQL that passes over a key whose rate limit allows no run yet, unless one of the key's runs has
 * started and needs no slot.
 */
const passOver = (schema: string): string => `      IF q.key_interval_ms IS NOT NULL AND k <> '' THEN
        SELECT a.arrival_at INTO key_arrival FROM ${schema}.workflow_queue_keys a
        WHERE a.kind = 'queue' AND a.name = p_queue AND a.key = k;
        key_slot := ${schema}.workflow_next_slot(key_arrival, q.key_interval_ms, q.key_burst, at_now);
        IF key_slot > horizon AND NOT EXISTS (SELECT 1 FROM ${schema}.workflow_runs r
          WHERE r.place = 'queued' AND r.queue = p_queue AND r.queue_key = k AND (r.started_at IS NULL) = false) THEN
          more := least(more, key_slot);
          CONTINUE;
        END IF;
      END IF;
      IF p_keys IS NULL THEN q.last_key := k; END IF;
`;

/** Builds SQL that replaces both functions that admit runs. */
const replaced = (schema: string, beforeKey?: AdmissionForm['beforeKey']): string =>
  [TOGETHER, APART]
    .map((form) =>
      admissionSql(schema, beforeKey ? { ...form, beforeKey, remembersKeys: true } : form).replace(
        'CREATE FUNCTION',
        'CREATE OR REPLACE FUNCTION',
      ),
    )
    .join('');

/**
 * Lets an admission pass over keys whose rate limit allows no run yet, without a look at their
 * runs. Before, each admission locked the next run of each such key, which wrote a page and WAL for
 * each key, several times per second. An admission of all keys that has admitted as many runs as
 * one statement may continues at the next key.
 *
 * Later turns look only at keys that used all that the turn before allowed. Before, each turn
 * passed over all closed keys again.
 */
export const ClosedKeys1764400011300 = migration(
  'ClosedKeys1764400011300',
  (schema) => replaced(schema, passOver),
  (schema) => replaced(schema),
);
