import { TERMINAL } from './run-status.js';

/**
 * Places of the rules among the parameters of a statement: rules of workflows and of all others, as
 * JSON objects with milliseconds by status.
 */
export interface RuleParameters {
  readonly workflows: string;
  readonly others: string;
}

/** Builds SQL for the rule of a run: of its version, of its other versions, or the general one. */
function ruleSql(run: string, { workflows, others }: RuleParameters): string {
  const versions = `${run}.name || E'\\n'`;
  return `coalesce(${workflows}::jsonb -> (${versions} || ${run}.version), ${workflows}::jsonb -> (${versions}), ${others}::jsonb)`;
}

/**
 * Builds SQL for the moment before which a run with this status must have ended to be deleted. NULL
 * when runs like this one are kept.
 *
 * @param run alias of the row
 */
function cutoffSql(run: string, rules: RuleParameters): string {
  return `now() - (${ruleSql(run, rules)} ->> ${run}.status)::float8 * interval '1 millisecond'`;
}

/** Builds a condition that is true when the run has the tag `keep: 'true'`. */
export function isKeptSql(schema: string, run: string): string {
  return `(SELECT true FROM ${schema}.workflow_tags WHERE run_id = ${run}.id AND key = 'keep' AND value = 'true' LIMIT 1) IS NOT NULL`;
}

/** Builds a condition that is true when the run itself has ended so long ago that it may go. */
function hasExpiredSql(schema: string, run: string, rules: RuleParameters): string {
  return `CASE WHEN ${run}.status IN ${TERMINAL} AND ${run}.finished_at < ${cutoffSql(run, rules)} THEN NOT (${isKeptSql(schema, run)}) ELSE false END`;
}

/**
 * Builds SQL that selects the current run of the chain to which a run belongs, or no row when the
 * current run was deleted. Meant for runs that were continued.
 *
 * @param run alias of the row
 */
function chainEndSql(schema: string, run: string, columns: string): string {
  return `SELECT ${columns} FROM ${schema}.workflow_runs
    WHERE chain_nonce = coalesce(${run}.chain_nonce, ${run}.start_nonce) AND chain_nonce IS NOT NULL AND continued_as IS NULL LIMIT 1`;
}

/**
 * Builds a condition that is true when retention deletes the run.
 *
 * - A child stays while its parent can still continue: the parent is active, or has failed and may
 * be retried.
 * - A chain of continued runs is judged by its current run. While the current run stays, the first
 * run stays too, because its id leads to the current one. Runs between them are judged alone.
 *
 * @param run alias of the row
 */
export function isDeletedByRetentionSql(schema: string, run: string, rules: RuleParameters): string {
  const parentIsOver = `coalesce((SELECT p.status IN ('completed', 'cancelled') FROM ${schema}.workflow_runs p WHERE p.id = ${run}.parent_run_id LIMIT 1), true)`;
  const columns = 'id, name, version, status, finished_at';
  const chainIsOver = `(SELECT ${hasExpiredSql(schema, 'c', rules)} FROM (${chainEndSql(schema, run, columns)}) AS c)`;
  const expired = hasExpiredSql(schema, run, rules);
  return `CASE WHEN ${run}.status NOT IN ${TERMINAL} THEN false
  WHEN ${run}.continued_as IS NULL THEN ${expired} AND ${parentIsOver}
  ELSE coalesce(${chainIsOver} OR ${run}.continued_from IS NOT NULL AND ${expired}, ${expired}) AND ${parentIsOver} END`;
}

/**
 * Builds a condition that is true when a run may be deleted together with its parent: it has no
 * longer retention of its own, and neither its class nor a tag keeps it.
 *
 * @param run alias of the row
 */
export function goesWithParentSql(schema: string, run: string, rules: RuleParameters): string {
  const isKeptByClass = `${ruleSql(run, rules)} ->> 'keep' IS NOT NULL`;
  return `coalesce(${run}.finished_at < ${cutoffSql(run, rules)}, true) AND NOT (${isKeptByClass}) AND NOT (${isKeptSql(schema, run)})`;
}

/**
 * Builds a condition that is true for an ended run. A run that was continued has ended when the
 * current run of its chain has.
 *
 * @param run alias of the row
 */
export function chainHasEndedSql(schema: string, run: string): string {
  return `${run}.status IN ${TERMINAL} AND (${run}.continued_as IS NULL
    OR (SELECT c.status NOT IN ${TERMINAL} FROM (${chainEndSql(schema, run, 'status')}) AS c) IS NOT TRUE)`;
}
