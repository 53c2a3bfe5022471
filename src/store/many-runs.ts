import type { ClientBase } from 'pg';

import { sleep } from '../core/timers.js';
import { faultOf } from './database-errors.js';
import type { Database, Statement } from './database.js';

/** Maximum number of refused runs that one call tries to change again. */
const MAX_RETRIED = 20;
/**
 * Milliseconds until a refused statement has released its row locks. PostgreSQL sends the error
 * before it releases them, and a repetition on another connection would skip the locked rows.
 */
const ROLLBACK_MS = 10;

/**
 * Forms of a statement that selects runs and changes them. Each form except `all` has one more
 * parameter: a list of run ids.
 */
export interface ManyRuns {
  readonly all: Statement;
  /** Changes the selected runs except the listed ones. */
  readonly except: Statement;
  /** Changes only those selected runs that are listed. */
  readonly only: Statement;
  /** Returns the ids of the runs that `except` would change. Changes nothing. */
  readonly find: Statement;
}

/** Texts from which the forms of a statement for many runs are built. */
export interface ManyRunsText {
  /**
   * Builds the CTEs that select and lock the runs. `narrow` is a further condition for the WHERE
   * clause of the SELECT from `workflow_runs`.
   */
  readonly select: (schema: string, narrow: string) => string;
  readonly change: (schema: string, lockTimeout: string) => string;
  /**
   * Statement after the CTEs that returns the selected ids. It must mention every parameter that
   * `select` does not mention, because PostgreSQL must know the type of each parameter.
   */
  readonly selected: string;
  /** Number of the parameter that contains the listed ids. */
  readonly parameter: number;
}

export function manyRuns(name: string, { select, change, selected, parameter }: ManyRunsText): ManyRuns {
  const ids = `id = ANY ($${parameter}::text[])`;
  const form = (suffix: string, narrow: string): Statement => ({
    name: `${name}${suffix}`,
    text: (schema, lockTimeout) => `${select(schema, narrow)}\n${change(schema, lockTimeout)}`,
  });
  return {
    all: form('', ''),
    except: form('_except', ` AND NOT (${ids})`),
    only: form('_only', ` AND ${ids}`),
    find: { name: `${name}_find`, text: (schema) => `${select(schema, ` AND NOT (${ids})`)}\n${selected}` },
  };
}

/** Result of changing many runs. */
export interface Changed<Row> {
  readonly rows: Row[];
  /**
   * True when the call may have left out runs that it should change, because the database refused a
   * run.
   */
  readonly isPartial: boolean;
}

/**
 * Changes many runs in one statement. When the database refuses to change a run, changes the other
 * runs, and remembers the refused run in `UnwritableRuns`. Later calls first try the remembered
 * runs again. A call that succeeds with at least one of them changes no other runs; the next call
 * does.
 *
 * @param idOf reads the run's id from a returned row
 * @param limit maximum number of runs that the statement changes
 */
export async function changeMany<Row extends unknown[]>(
  database: Database,
  statement: ManyRuns,
  values: readonly unknown[],
  idOf: (row: Row) => string,
  limit = MAX_RETRIED,
): Promise<Changed<Row>> {
  const change = statement.all.name;
  const { unwritable } = database;
  const rows: Row[] = [];
  let isPartial = false;
  const only = async (ids: readonly string[]): Promise<void> => {
    const changed = await database.query<Row>(statement.only, [...values, ids]);
    for (const row of changed) unwritable.written(change, idOf(row));
    rows.push(...changed);
  };
  const refused = (id: string, error: unknown): void => {
    isPartial = true;
    unwritable.refused(change, id, error);
  };
  const except = unwritable.of(change);
  try {
    if (except.length === 0) return { rows: await database.query<Row>(statement.all, [...values]), isPartial };
    for (const id of unwritable.due(change, Math.min(limit, MAX_RETRIED))) await inHalves([id], only, refused);
    if (rows.length > 0) return { rows, isPartial: true };
    return { rows: await database.query<Row>(statement.except, [...values, unwritable.of(change)]), isPartial };
  } catch (error) {
    if (rows.length > 0) return { rows, isPartial: true };
    if (faultOf(error) !== 'data') throw error;
    await sleep(ROLLBACK_MS);
    const found = await database.query<[string]>(statement.find, [...values, unwritable.of(change)]);
    await inHalves(
      found.map(([id]) => id),
      only,
      refused,
    ).catch((other: unknown) => {
      // Some runs were changed, and the caller must get their rows. An error would hide them.
      if (rows.length === 0) throw other;
      isPartial = true;
    });
    if (rows.length === 0 && !isPartial) throw error;
  }
  return { rows, isPartial };
}

/**
 * Changes the named runs in one statement. Leaves out a run that the database refuses to change,
 * and remembers the run for the next calls.
 */
export async function changeNamed<T>(
  database: Database,
  change: string,
  ids: readonly string[],
  work: (ids: readonly string[]) => Promise<readonly T[]>,
): Promise<T[]> {
  const { unwritable } = database;
  const changed: T[] = [];
  const aside = new Set(unwritable.of(change));
  const wanted = new Set(ids);
  const retried = aside.size === 0 ? [] : unwritable.due(change, MAX_RETRIED, (id) => wanted.has(id));
  const together = aside.size === 0 ? ids : ids.filter((id) => !aside.has(id));
  const refused = (id: string, error: unknown): void => unwritable.refused(change, id, error);
  const write = async (part: readonly string[]): Promise<void> => void changed.push(...(await work(part)));
  if (together.length > 0) await inHalves(together, write, refused);
  for (const id of retried) {
    let isRefused = false;
    await inHalves([id], write, (runId, error) => {
      isRefused = true;
      refused(runId, error);
    });
    if (!isRefused) unwritable.written(change, id);
  }
  return changed;
}

/**
 * Changes many runs within a transaction. When the database refuses a run, undoes the work on this
 * run only.
 */
export async function changeInTransaction<T>(
  client: ClientBase,
  ids: readonly string[],
  work: (ids: readonly string[]) => Promise<readonly T[]>,
  refused: (runId: string, error: unknown) => void,
): Promise<T[]> {
  const changed: T[] = [];
  const write = async (part: readonly string[]): Promise<void> => {
    await client.query('SAVEPOINT durable_runs');
    try {
      changed.push(...(await work(part)));
      await client.query('RELEASE SAVEPOINT durable_runs');
    } catch (error) {
      await client.query('ROLLBACK TO SAVEPOINT durable_runs');
      throw error;
    }
  };
  await inHalves(ids, write, refused);
  return changed;
}

/**
 * Does the work on all ids. After a refusal, repeats the work on each half separately, until the
 * refused runs are found.
 */
async function inHalves(
  ids: readonly string[],
  work: (ids: readonly string[]) => Promise<void>,
  refused: (id: string, error: unknown) => void,
): Promise<void> {
  if (ids.length === 0) return;
  try {
    return await work(ids);
  } catch (error) {
    if (faultOf(error) !== 'data') throw error;
    if (ids.length === 1) return refused(ids[0]!, error);
    await sleep(ROLLBACK_MS);
  }
  const middle = ids.length >> 1;
  await inHalves(ids.slice(0, middle), work, refused);
  await inHalves(ids.slice(middle), work, refused);
}

/**
 * Does work on many runs in one statement. When the database refuses one of the runs, does the work
 * again with `'apart'`, which leaves out refused runs.
 */
export async function unlessRefused<T>(work: (way: 'together' | 'apart') => Promise<T>): Promise<T> {
  try {
    return await work('together');
  } catch (error) {
    if (faultOf(error) !== 'data') throw error;
    return work('apart');
  }
}
