import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';

import { JournalFixture } from '../../test/support/faults/journal-fixture.js';
import type { RetentionConfiguration } from '../core/retention.js';
import { HostRetention } from '../host/host-retention.js';
import { Database, type Statement } from '../store/database.js';
import { SCANNED_RUNS } from '../store/sql/expired-runs.js';
import { RetentionSweep } from './retention-sweep.js';

const DAY_MS = 86_400_000;
const GENERAL: RetentionConfiguration = { general: { completed: DAY_MS }, workflows: [] };

describe('the retention sweep', () => {
  let fixture: JournalFixture;
  let database: Database;
  beforeAll(async () => {
    fixture = await JournalFixture.create();
    database = new Database({ connectionString: fixture.admin.url }, { poolSize: 3 });
  });
  beforeEach(() => fixture.admin.query('TRUNCATE durable.workflow_runs, durable.workflow_steps, durable.workflow_retention'));
  afterAll(async () => {
    await database.close();
    await fixture.close();
  });

  const active = new AbortController().signal;
  /** Inserts runs that were created one after another, the last one `daysAgo` days ago. */
  const insert = (name: string, count: number, status: string, daysAgo: number): Promise<unknown[]> =>
    fixture.admin.query(
      `INSERT INTO durable.workflow_runs (id, name, version, queue, status, created_at, wake_at, finished_at, start_nonce, input)
      SELECT $1 || '-' || n, $1, 1, 'default', $3, at, CASE WHEN $3 = 'waiting' THEN now() + interval '1 year' END, CASE WHEN $3 <> 'waiting' THEN at END, n, '{}'
      FROM generate_series(1, $2::int) AS n, LATERAL (SELECT now() - $4 * interval '1 day' - ($2::int - n) * interval '1 second' AS at) AS t`,
      [name, count, status, daysAgo],
    );
  const left = async (): Promise<Record<string, number>> => {
    const rows = await fixture.admin.query<{ name: string; n: number }>(
      'SELECT name, count(*)::int AS n FROM durable.workflow_runs GROUP BY 1',
    );
    return Object.fromEntries(rows.map(({ name, n }) => [name, n]));
  };
  const progress = async (): Promise<{ after_id: string | null; left_alone: string; pause: number }> => {
    const [row] = await fixture.admin.query(
      'SELECT after_id, left_alone, extract(epoch FROM next_at - now())::float8 AS pause FROM durable.workflow_retention',
    );
    return row as never;
  };
  const nextTurn = (): Promise<unknown[]> => fixture.admin.query('UPDATE durable.workflow_retention SET next_at = now()');

  it('continues a round where the last process stopped, and reads runs that stay once a round', async () => {
    await insert('asleep', 2 * SCANNED_RUNS + 50, 'waiting', 10);
    await insert('ended', 30, 'completed', 5);
    await insert('young', 10, 'completed', 0.5);
    expect(await new RetentionSweep(database, GENERAL).run(active)).toBe(0);
    expect(await progress()).toMatchObject({ after_id: `asleep-${SCANNED_RUNS}`, left_alone: String(SCANNED_RUNS) });
    await nextTurn();
    await new RetentionSweep(database, GENERAL).run(active);
    expect(await left()).toMatchObject({ ended: 30 });
    await nextTurn();
    expect(await new RetentionSweep(database, GENERAL).run(active)).toBeUndefined();
    expect(await left()).toEqual({ asleep: 2 * SCANNED_RUNS + 50, young: 10 });
    // The next round begins after a pause.
    expect(await progress()).toMatchObject({ after_id: null, left_alone: '0' });
    expect((await progress()).pause).toBeGreaterThan(50);
    await insert('late', 5, 'completed', 11);
    expect(await new RetentionSweep(database, GENERAL).run(active)).toBeUndefined();
    expect(await left()).toMatchObject({ late: 5 });
    await nextTurn();
    await new RetentionSweep(database, GENERAL).run(active);
    expect(await left()).not.toHaveProperty('late');
  });

  it('deletes each run once when several processes sweep at the same time', async () => {
    await insert('ended', 700, 'completed', 5);
    const deleted: string[] = [];
    class Counting extends Database {
      override async query<Row extends unknown[]>(statement: Statement, values: unknown[]): Promise<Row[]> {
        const rows = await super.query<Row>(statement, values);
        if (statement.name === 'durable_expire_runs') deleted.push(...rows.map(([id]) => id as string));
        return rows;
      }
    }
    const counting = new Counting({ connectionString: fixture.admin.url }, { poolSize: 4 });
    try {
      const sweeps = Array.from({ length: 4 }, () => new RetentionSweep(counting, GENERAL));
      await Promise.all(sweeps.map((sweep) => sweep.run(active)));
      expect(await left()).toEqual({});
      expect(new Set(deleted).size).toBe(700);
      expect(deleted).toHaveLength(700);
    } finally {
      await counting.close();
    }
  });

  it('stops between two statements at shutdown, and gives its turn to other processes', async () => {
    await insert('ended', 900, 'completed', 5);
    const stopping = new AbortController();
    class Stopping extends Database {
      override async query<Row extends unknown[]>(statement: Statement, values: unknown[]): Promise<Row[]> {
        const rows = await super.query<Row>(statement, values);
        if (statement.name === 'durable_expire_runs') stopping.abort();
        return rows;
      }
    }
    const own = new Stopping({ connectionString: fixture.admin.url }, { poolSize: 2 });
    try {
      await new RetentionSweep(own, GENERAL).run(stopping.signal);
    } finally {
      await own.close();
    }
    const { ended } = await left();
    expect(ended).toBeGreaterThan(600);
    expect(ended).toBeLessThan(900);
    expect((await progress()).pause).toBeLessThanOrEqual(0);
    await new RetentionSweep(database, GENERAL).run(active);
    expect(await left()).toEqual({});
  });

  it('keeps the runs of a class whose process deletes nothing itself', async () => {
    await insert('audit', 5, 'completed', 5);
    await insert('ended', 5, 'completed', 5);
    const keeping = new HostRetention({});
    keeping.workflows = [{ name: 'audit', version: 1, own: 'keep' }];
    await new RetentionSweep(database, keeping.ifUsed!).run(active);
    await new RetentionSweep(database, GENERAL).run(active);
    expect(await left()).toEqual({ audit: 5 });
    expect((await progress()).pause).toBeGreaterThan(50);
  });

  it('judges a version without a class by the longest rule of the other versions', async () => {
    await insert('audit', 3, 'completed', 5);
    await insert('payment', 3, 'completed', 5);
    await insert('brief', 3, 'completed', 0.5);
    await insert('ended', 3, 'completed', 5);
    const configuration: RetentionConfiguration = {
      general: { completed: DAY_MS },
      workflows: [
        { name: 'payment', version: 2, own: { completed: 2 * DAY_MS } },
        { name: 'payment', version: 3, own: { completed: 10 * DAY_MS } },
        { name: 'brief', version: 2, own: { completed: 60_000 } },
      ],
    };
    await fixture.admin.query(`INSERT INTO durable.workflow_retention (workflows) VALUES ('{"audit\\n7": {"keep": true}}')`);
    await new RetentionSweep(database, configuration).run(active);
    expect(await left()).toEqual({ audit: 3, payment: 3, brief: 3 });
  });

  it('continues after its row was deleted by hand', async () => {
    const sweep = new RetentionSweep(database, GENERAL);
    await sweep.run(active);
    await insert('ended', 5, 'completed', 5);
    await fixture.admin.query('DELETE FROM durable.workflow_retention');
    for (let turns = 0; turns < 2; turns++) await sweep.run(active);
    expect(await left()).toEqual({});
  });

  it('leaves out a run that a trigger protects, and deletes the others', async () => {
    await insert('ended', 40, 'completed', 5);
    await fixture.admin.query(`CREATE FUNCTION durable.keep() RETURNS trigger LANGUAGE plpgsql AS
      $$BEGIN IF OLD.id = 'ended-17' THEN RAISE EXCEPTION 'audited'; END IF; RETURN OLD; END$$`);
    await fixture.admin.query('CREATE TRIGGER keep BEFORE DELETE ON durable.workflow_runs FOR EACH ROW EXECUTE FUNCTION durable.keep()');
    try {
      await new RetentionSweep(database, GENERAL).run(active);
      expect(await fixture.admin.query('SELECT id FROM durable.workflow_runs')).toEqual([{ id: 'ended-17' }]);
      expect(database.unwritable.list(10)).toMatchObject([{ runId: 'ended-17' }]);
    } finally {
      await fixture.admin.query('DROP TRIGGER keep ON durable.workflow_runs');
    }
  });

  it('deletes no run that was retried, or deleted and started again, after it was read', async () => {
    await insert('ended', 3, 'completed', 5);
    class Late extends Database {
      override async query<Row extends unknown[]>(statement: Statement, values: unknown[]): Promise<Row[]> {
        const rows = await super.query<Row>(statement, values);
        if (statement.name === 'durable_find_expired_trees') {
          await fixture.admin.query(`UPDATE durable.workflow_runs SET epoch = epoch + 1 WHERE id = 'ended-1'`);
          await fixture.admin.query(`UPDATE durable.workflow_runs SET start_nonce = 77 WHERE id = 'ended-2'`);
        }
        return rows;
      }
    }
    const late = new Late({ connectionString: fixture.admin.url }, { poolSize: 2 });
    try {
      await new RetentionSweep(late, GENERAL).run(active);
      expect(await fixture.admin.query('SELECT id FROM durable.workflow_runs ORDER BY id')).toEqual([{ id: 'ended-1' }, { id: 'ended-2' }]);
    } finally {
      await late.close();
    }
  });
});
