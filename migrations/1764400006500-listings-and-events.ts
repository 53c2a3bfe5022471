import { migration, quoteLiteral } from './migration.js';

const FILTER_INDEX = (schema: string, columns: string): string =>
  `CREATE INDEX IF NOT EXISTS workflow_runs_filter_idx ON ${schema}.workflow_runs USING brin (${columns}) WITH (pages_per_range = 32)`;

/**
 * Builds a block that creates the index for rare names, queues and versions. PostgreSQL 13 has no
 * operator class for Bloom filters.
 */
const filterIndexSql = (schema: string): string => {
  const bloom = ['name', 'queue'].map((column) => `${column} pg_catalog.text_bloom_ops(n_distinct_per_range = 64)`).join(', ');
  return `BEGIN
  IF current_setting('server_version_num')::int >= 140000 THEN ${FILTER_INDEX(schema, `${bloom}, version`)};
  ELSE ${FILTER_INDEX(schema, 'name, queue, version')};
  END IF;
END`;
};

/**
 * Adds two indexes for listings, which cost a run very little. Only paused runs are in the first
 * one. The second one is a BRIN index: it has an entry for each 32 pages of the table, and a new
 * run changes an entry only when its name, queue or version is new there.
 *
 * Also adds the tags to run events. Retention stores them when it deletes the run of an event that
 * no listener has received yet.
 */
export const ListingsAndEvents1764400006500 = migration(
  'ListingsAndEvents1764400006500',
  (schema) => `
CREATE INDEX IF NOT EXISTS workflow_runs_paused_idx ON ${schema}.workflow_runs (created_at, id) WHERE status = 'paused';
DO ${quoteLiteral(filterIndexSql(schema))};
ALTER TABLE ${schema}.workflow_run_events ADD COLUMN tags json;
`,
  (schema) => `
ALTER TABLE ${schema}.workflow_run_events DROP COLUMN tags;
DROP INDEX ${schema}.workflow_runs_filter_idx;
DROP INDEX ${schema}.workflow_runs_paused_idx;
`,
);
