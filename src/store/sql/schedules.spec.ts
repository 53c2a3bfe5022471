import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { JournalFixture, type OpenJournal } from '../../../test/support/faults/journal-fixture.js';
import { waitFor } from '../../../test/support/wait.js';
import { lockSchedule, type SqlRunner } from './schedules.js';

const WAITING = `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`;

describe('the lock on a schedule', () => {
  let fixture: JournalFixture;
  let open: OpenJournal;
  beforeAll(async () => {
    fixture = await JournalFixture.create();
    open = await fixture.journal();
  });
  afterAll(() => fixture.close());

  const inTransaction = <T>(work: (transaction: SqlRunner) => Promise<T>): Promise<T> =>
    open.database.transaction((client) =>
      work({ query: async <Rows>(sql: string, parameters: unknown[] = []) => (await client.query(sql, parameters)).rows as Rows }),
    );

  it('shows the run that the former holder of the lock has started', async () => {
    await fixture.admin.query(
      `INSERT INTO durable.workflow_schedules (name, workflow, every_ms, timezone, anchor_at, overlap, catch_up, catch_up_limit, input, tags, open_runs)
       VALUES ('s', 'w', 1000, 'UTC', now(), 'skip', 'last', 100, 'null', '{}', '{gone}')`,
    );
    let locked!: ReturnType<typeof lockSchedule>;
    await inTransaction(async (first) => {
      expect((await lockSchedule(open.database, first, 's'))!.activeRuns).toEqual([]);
      locked = inTransaction(async (second) => {
        await second.query('SET LOCAL lock_timeout = 0');
        return lockSchedule(open.database, second, 's');
      });
      await waitFor(async () => (await fixture.admin.query(WAITING)).length > 0);
      await first.query(
        `INSERT INTO durable.workflow_runs (id, name, version, queue, status, created_at, ready_at, start_nonce, input)
         VALUES ('new', 'w', 1, 'default', 'pending', now(), now(), 1, 'null')`,
      );
      await first.query(`UPDATE durable.workflow_schedules SET open_runs = '{new}' WHERE name = 's'`);
    });
    expect(await locked).toMatchObject({ row: { openRuns: ['new'] }, activeRuns: ['new'] });
  });
});
