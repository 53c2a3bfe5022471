import pg from 'pg';

import { Database, type Statement } from '../../src/store/database.js';

interface Plan {
  readonly Plan: { readonly 'Shared Hit Blocks': number; readonly 'Shared Read Blocks': number };
}

/**
 * Executes statements with EXPLAIN, prepared as on the module's connections, and records how many
 * buffers they touch. Returns no rows.
 */
export class ExplainingDatabase extends Database {
  buffers = 0;
  /** Plan of the last statement, as JSON text. */
  plan = '';
  planMode: 'force_generic_plan' | 'force_custom_plan' = 'force_generic_plan';

  override async query<Row extends unknown[]>(statement: Statement, values: unknown[]): Promise<Row[]> {
    const client = await this.pool.connect();
    try {
      await client.query(`SET plan_cache_mode = ${this.planMode}`);
      await client.query(`PREPARE measured AS ${statement.text(this.schema, '')}`);
      const { rows } = await client.query<{ 'QUERY PLAN': Plan[] }>(
        `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE measured${values.length === 0 ? '' : ` (${values.map(literal).join(', ')})`}`,
      );
      const { Plan: top } = rows[0]!['QUERY PLAN'][0]!;
      this.buffers = top['Shared Hit Blocks'] + top['Shared Read Blocks'];
      this.plan = JSON.stringify(top);
      await client.query('DEALLOCATE measured');
      return [];
    } finally {
      client.release();
    }
  }
}

function literal(value: unknown): string {
  return pg.escapeLiteral(
    Array.isArray(value) ? `{${value.map((each) => (each === null ? 'NULL' : JSON.stringify(String(each)))).join(',')}}` : String(value),
  );
}
