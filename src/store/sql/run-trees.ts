import type { ClientBase } from 'pg';

import type { RetentionRules } from '../../core/retention.js';
import type { RunStatus } from '../../core/run.js';
import type { Database, Statement } from '../database.js';
import { currentRunSql } from './chains.js';
import type { EndedLife } from './delete-runs.js';
import { chainHasEndedSql, goesWithParentSql } from './retention-conditions.js';
import { TERMINAL } from './run-status.js';

/** Maximum number of runs that `findTrees` returns in addition to the roots. */
export const MAX_TREE_RUNS = 5_000;

/**
 * Maximum number of generations below a run. A larger number would only be reached by parents that
 * form a circle.
 */
const MAX_DEPTH = 100_000;

/**
 * Directions in which the chain of a run is to be followed: to the runs that it continues (`back`)
 * and to those that continue it (`forward`).
 */
export type ChainWays = 'both' | 'back' | 'forward' | 'none';

/** An ended run that is to be deleted, or an ended run below it. */
export interface TreeRun extends EndedLife {
  /** Id of the run that is to be deleted. */
  readonly root: string;
  /** Number of generations between the run and its root. */
  readonly depth: number;
  /** Bytes of the run's recorded history. */
  readonly bytes: number;
  readonly ways: ChainWays;
}

/**
 * Epoch that stands for any life of a run. NULL would not work: with `array_nulls` off, PostgreSQL
 * reads NULL in an array as a text.
 */
const ANY_LIFE = -1;

const COLUMNS = 'id, start_nonce, epoch, history_bytes, continued_as, continued_from, coalesce(chain_nonce, start_nonce) AS chain_nonce';

/**
 * Finds runs and the ended runs below them. A run that has not ended is not returned, and neither
 * are the runs below it. `$4` adds other runs of the chain of each root. The walk ends where it
 * comes back to its root: parents form a circle when the ids of deleted runs were used again.
 *
 * @param mayGo condition for the roots (alias `r`)
 * @param belongs condition for the runs (alias `r`) below a root
 */
function treesSql(schema: string, mayGo: string, belongs: string): string {
  const hasEnded = chainHasEndedSql(schema, 'r');
  const select = (ways: string, condition: string): string =>
    `SELECT ${COLUMNS}, ${ways} AS ways FROM ${schema}.workflow_runs r WHERE ${condition}`;
  return `WITH RECURSIVE tree AS (
  SELECT x.id AS root, 0 AS depth, r.*
  FROM unnest((SELECT $1::text[]), (SELECT $2::bigint[]), (SELECT $3::int[]), (SELECT $4::text[])) AS x(id, nonce, epoch, ways) CROSS JOIN LATERAL (
    ${select('x.ways', `id = x.id AND (x.epoch = ${ANY_LIFE} OR (start_nonce = x.nonce AND epoch = x.epoch)) AND ${mayGo}`)} LIMIT 1
  ) AS r
  UNION ALL
  SELECT t.root, t.depth + 1, n.* FROM tree t CROSS JOIN LATERAL (
    (${select(`'none'`, `parent_run_id = t.id AND id <> t.root AND ${hasEnded} AND ${belongs}`)} OFFSET 0)
    UNION ALL
    (${select(`'back'`, `id = t.continued_from AND t.ways IN ('both', 'back') AND coalesce(r.chain_nonce, r.start_nonce) = t.chain_nonce AND ${hasEnded}`)} LIMIT 1)
    UNION ALL
    (${select(`'forward'`, `id = t.continued_as AND t.ways IN ('both', 'forward') AND coalesce(r.chain_nonce, r.start_nonce) = t.chain_nonce AND ${hasEnded}`)} LIMIT 1)
  ) AS n WHERE t.depth < ${MAX_DEPTH}
)
SELECT root, id, start_nonce::text, epoch, history_bytes::float8, depth, ways FROM tree LIMIT ${MAX_TREE_RUNS} + cardinality($1::text[])`;
}

const TREES: Statement = { name: 'durable_find_trees', text: (schema) => treesSql(schema, chainHasEndedSql(schema, 'r'), 'true') };

const EXPIRED_TREES: Statement = {
  name: 'durable_find_expired_trees',
  // Retention also deletes runs in the middle of a chain that continues.
  text: (schema) => treesSql(schema, `r.status IN ${TERMINAL}`, goesWithParentSql(schema, 'r', { workflows: '$5', others: '$6' })),
};

/**
 * A run that is to be deleted. With `nonce` and `epoch`, only this life of the run. Without them,
 * whatever run has the id. With `ways`, also other runs of its chain. (default: `'none'`)
 */
export type TreeRoot = Pick<EndedLife, 'id'> & Partial<EndedLife & Pick<TreeRun, 'ways'>>;

/**
 * Finds runs and the ended runs below them, the nearest generations first, at most `MAX_TREE_RUNS`
 * in addition to the roots. A root that has not ended is not among them.
 *
 * @param rules rules that decide which children are deleted with their parent. Undefined selects
 *   all ended children
 */
export async function findTrees(
  database: Database,
  roots: readonly TreeRoot[],
  rules?: RetentionRules,
  client?: ClientBase,
): Promise<TreeRun[]> {
  type Row = [root: string, id: string, nonce: string, epoch: number, bytes: number, depth: number, ways: ChainWays];
  const values: unknown[] = [
    roots.map(({ id }) => id),
    roots.map(({ nonce }) => nonce ?? '0'),
    roots.map(({ epoch }) => epoch ?? ANY_LIFE),
    roots.map(({ ways }) => ways ?? 'none'),
  ];
  if (rules) values.push(JSON.stringify(rules.workflows), JSON.stringify(rules.others));
  const rows = await database.query<Row>(rules ? EXPIRED_TREES : TREES, values, client);
  return rows.map(([root, id, nonce, epoch, bytes, depth, ways]) => ({ root, id, nonce, epoch, bytes, depth, ways }));
}

const READ: Statement = {
  name: 'durable_read_deletable',
  text: (schema) => `SELECT coalesce(last.id, named.id), last.status FROM ${schema}.workflow_runs named
LEFT JOIN LATERAL ${currentRunSql(schema, 'named.id', 'id, status')} AS last ON true WHERE named.id = $1`,
};

/** Current run of the chain to which a run belongs. */
export interface CurrentRun {
  /** Id of the current run. The id of the given run when the current run was deleted. */
  readonly id: string;
  /** Null when the current run was deleted. */
  readonly status: RunStatus | null;
}

/** Reads the current run of a run's chain. Undefined when no run has the id. */
export async function readDeletable(database: Database, id: string): Promise<CurrentRun | undefined> {
  const [row] = await database.query<[string, RunStatus | null]>(READ, [id]);
  return row && { id: row[0], status: row[1] };
}
