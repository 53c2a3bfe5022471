import { toBinaryArray } from '../binary-array.js';
import type { Database, Statement } from '../database.js';
import type { Columns } from '../columns.js';
import { COLUMNS, type FlushRows } from '../flush-columns.js';
import type { SessionFence } from '../session-fence.js';
import { SECTIONS } from './flush-sections.js';
import type { Section } from './flush-section.js';
import { SERVER } from './server-identity.js';
import { BATCH_RESULTS, toBatchResults, type BatchResult } from './batch-starts.js';
import { SHARED_RESULTS, toSharedResults, type SharedResult } from './shared-starts.js';

/**
 * Result of a flush, with the number of rows written, by kind. A number may be lower than the
 * number of rows sent: some rows existed before, or the session does not own their runs.
 */
export interface FlushResult {
  /**
   * True when the session exists on the expected database server. Otherwise no row of its runs was
   * written.
   */
  readonly sessionAlive: boolean;
  /** Identity of the server that answered. */
  readonly server: string;
  readonly starts: number;
  readonly steps: number;
  readonly changes: number;
  readonly startsByRuns: number;
  readonly streamChunks: number;
  /** Results of starts with `debounce` or `throttle`, by the id in the row of the start. */
  readonly shared: ReadonlyMap<string, SharedResult> | undefined;
  /** Results of starts of members of batches, by the id of the member. */
  readonly batched: ReadonlyMap<string, BatchResult> | undefined;
  /** Time of the transaction, in milliseconds since the epoch. */
  readonly now: number;
}

/**
 * Builds the statement for a combination of kinds of rows. The same combination always has the same
 * text, so that it is prepared once.
 *
 * @param mask one bit for each kind, in the order of `SECTIONS`
 * @param shape `'single'` when no kind has more than one row
 */
function statementFor(present: readonly Section[], mask: number, shape: 'single' | 'many'): Statement {
  return {
    name: `durable_flush_${shape}_${mask}`,
    text: (schema, lockTimeout) => {
      let parameter = 2;
      const has = (key: keyof FlushRows): boolean => present.some((each) => each.key === key);
      const parts = present.map((section) => {
        const types = COLUMNS[section.key].map(([, type]) => type);
        const names = COLUMNS[section.key].map(([name]) => name);
        const rows =
          shape === 'many'
            ? `unnest(${types.map((type) => `$${++parameter}::${type}[]`).join(', ')}) AS x(${names.join(', ')})`
            : `(SELECT ${types.map((type, column) => `$${++parameter}::${type} AS ${names[column]}`).join(', ')}) AS x`;
        const before = Object.entries(section.before?.(schema, rows, has) ?? {});
        const also = Object.entries(section.also?.(schema, rows, has) ?? {});
        const own: [string, string] = [sqlName(section.as ?? section.key), section.sql(schema, rows, has)];
        return [...before, own, ...also].map(([name, sql]) => `${name} AS (${sql}\n)`);
      });
      const count = (key: keyof FlushRows): string =>
        present.some((section) => (section.as ?? section.key) === key) ? `(SELECT count(*) FROM ${sqlName(key)})::int` : '0';
      return `WITH session AS MATERIALIZED (SELECT id FROM ${schema}.workflow_sessions WHERE id = $1::bigint AND ${SERVER} = $2::text FOR KEY SHARE),
${parts.flat().join(',\n')}
SELECT (SELECT count(*) FROM session)::int, ${count('starts')}, ${count('changes')}, ${count('startsByRuns')}, ${count('steps')},
  ${count('streamChunks')}, extract(epoch FROM now())::float8 * 1000, ${SERVER}${has('sharedStarts') ? `, ${SHARED_RESULTS}` : ''}${has('batchMembers') ? `, ${BATCH_RESULTS}` : ''}${lockTimeout && ` WHERE true${lockTimeout}`}`;
    },
  };
}

function sqlName(key: keyof FlushRows): string {
  return key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

interface Prepared {
  readonly present: readonly Section[];
  readonly statement: Statement;
}

const prepared = { single: new Map<number, Prepared>(), many: new Map<number, Prepared>() };

function prepare(mask: number, shape: 'single' | 'many'): Prepared {
  let entry = prepared[shape].get(mask);
  if (!entry) {
    const present = SECTIONS.filter((_, bit) => mask & (1 << bit));
    entry = { present, statement: statementFor(present, mask, shape) };
    prepared[shape].set(mask, entry);
  }
  return entry;
}

/**
 * Writes rows of many runs in one statement, one round trip and one commit.
 *
 * The statement first locks the row of the session, on the server where the session was last seen.
 * Every write for an owned run refers to this lock, because PostgreSQL leaves out a locking
 * subquery that nothing refers to. A process that takes over the runs of a session first deletes
 * this row. So either that process waits for this flush, or this flush writes nothing.
 *
 * Rows are sorted by run id, so that all statements lock runs in the same order. The final SELECT
 * counts the rows of some sections. PostgreSQL executes these sections in the order of the counts,
 * so that runs are written before their other rows.
 *
 * With at most one row of each kind, as in an idle process, the values are single parameters
 * instead of arrays. This form is as fast as a plain INSERT (0.38 ms with its commit, against 0.6
 * ms with unnest).
 */
export async function flush(database: Database, fence: SessionFence | null, rows: FlushRows): Promise<FlushResult> {
  let mask = 0;
  let single = true;
  for (let bit = 0; bit < SECTIONS.length; bit++) {
    const { length } = rows[SECTIONS[bit]!.key];
    if (length > 0) mask |= 1 << bit;
    if (length > 1) single = false;
  }
  const { present, statement } = prepare(mask, single ? 'single' : 'many');
  const values: unknown[] = [fence?.id ?? null, fence?.server ?? null];
  for (const { key } of present) {
    const columns: Columns = COLUMNS[key];
    const section = rows[key];
    if (single) values.push(...section[0]!);
    else for (let column = 0; column < columns.length; column++) values.push(toBinaryArray(section, column, columns[column]![1]));
  }
  const [row] = await database.query<[number, number, number, number, number, number, number, string, ...string[]]>(statement, values);
  const [session, starts, changes, startsByRuns, steps, streamChunks, now, server, ...results] = row!;
  const shared = rows.sharedStarts.length > 0 ? toSharedResults(results.shift()!) : undefined;
  const batched = rows.batchMembers.length > 0 ? toBatchResults(results.shift()!) : undefined;
  return { sessionAlive: session === 1, server, starts, steps, changes, now, startsByRuns, streamChunks, shared, batched };
}
