import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';

import { JournalFixture, newSession, startOf, type OpenJournal } from '../../test/support/faults/journal-fixture.js';
import { waitFor } from '../../test/support/wait.js';
import type { Database } from './database.js';
import type { SessionFence } from './session-fence.js';
import { claimRuns } from './sql/claim-runs.js';
import { closeSession, takeOver } from './sql/sessions.js';

/** Pauses statements that write a running run, between their locks and their commit. */
const GATE = `CREATE FUNCTION wait_at_gate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  WHILE NOT pg_try_advisory_xact_lock_shared(4711) LOOP PERFORM pg_sleep(0.02); END LOOP;
  RETURN NEW;
END $$;
CREATE TRIGGER wait_at_gate BEFORE INSERT OR UPDATE ON durable.workflow_runs FOR EACH ROW WHEN (NEW.status = 'running') EXECUTE FUNCTION wait_at_gate()`;

/** Counts the module's active statements of this kind. */
const WAITING = `SELECT count(*)::int FROM pg_stat_activity
WHERE application_name = 'nestjs-durable' AND datname = current_database() AND state = 'active' AND query LIKE $1`;

describe.each([
  ['read committed', undefined],
  ['repeatable read', undefined],
  ['serializable', undefined],
  ['repeatable read', 'transaction'],
  ['serializable', 'transaction'],
] as const)('a database that defaults to %s (pooler: %s)', (isolation, pooler) => {
  let fixture: JournalFixture;
  let gate: pg.Client;
  let open: OpenJournal;
  let dying: SessionFence;
  beforeEach(async () => {
    fixture = await JournalFixture.create();
    const [{ name }] = await fixture.admin.query('SELECT current_database() AS name');
    await fixture.admin.query(`ALTER DATABASE "${name}" SET default_transaction_isolation = '${isolation}'`);
    gate = new pg.Client({ connectionString: fixture.admin.url });
    await gate.connect();
    open = await fixture.journal({ pooler });
    dying = await newSession(open.database);
  });
  afterEach(async () => {
    await gate.end();
    await fixture.close();
  });

  const waiting = (query: string): Promise<unknown> =>
    waitFor(async () => (await fixture.admin.query(WAITING, [`%${query}%`]))[0].count > 0, { message: `"${query}" to wait` });

  const claim = (database: Database): Promise<{ id: string }[]> =>
    claimRuns(database, { fence: dying, keys: [{ queue: 'default', name: 'order', version: 1 }], deploymentId: 'test', limit: 10 });

  async function closeGate(): Promise<void> {
    await fixture.admin.query(GATE);
    await gate.query('SELECT pg_advisory_lock(4711)');
  }

  const openGate = (): Promise<unknown> => gate.query('SELECT pg_advisory_unlock(4711)');

  const status = async (id: string): Promise<string> => {
    const [row] = await fixture.admin.query<{ status: string }>('SELECT status FROM durable.workflow_runs WHERE id = $1', [id]);
    return row!.status;
  };

  it('a takeover finds the run of a claim that commits while the takeover waits for it', async () => {
    await open.submit(startOf('claimed', false));
    await closeGate();
    const claimed = claim(open.database);
    await waiting('FOR NO KEY UPDATE SKIP LOCKED');
    const lost = takeOver(open.database, [dying.id], 'unlocked');
    await waiting('DELETE FROM "durable".workflow_sessions');
    await openGate();
    await claimed;
    expect((await lost).map(({ id }) => id)).toEqual(['claimed']);
    expect(await status('claimed')).toBe('pending');
  });

  it('a takeover finds the run of a start that commits while the takeover waits for it', async () => {
    await closeGate();
    open.journal.useSession(dying);
    const started = open.submit(startOf('started', true));
    await waiting('INSERT INTO "durable".workflow_runs');
    const lost = takeOver(open.database, [dying.id], 'unlocked');
    await waiting('DELETE FROM "durable".workflow_sessions');
    await openGate();
    await started;
    expect((await lost).map(({ id }) => id)).toEqual(['started']);
    expect(await status('started')).toBe('pending');
  });

  it('the close of a session hands back the runs of a concurrent claim', async () => {
    await open.submit(startOf('returned', false));
    await closeGate();
    const claimed = claim(open.database);
    await waiting('FOR NO KEY UPDATE SKIP LOCKED');
    const returned = closeSession(open.database, dying.id);
    await waiting('DELETE FROM "durable".workflow_sessions');
    await openGate();
    await claimed;
    expect(await returned).toEqual(['returned']);
    expect(await status('returned')).toBe('pending');
  });

  it('concurrent claims of several workers never fail', async () => {
    const ids = Array.from({ length: 60 }, (_, index) => `shared-${index}`);
    await Promise.all(ids.map((id) => open.submit(startOf(id, false))));
    const claimOne = async (): Promise<string[]> => {
      const fence = await newSession(open.database);
      const one = { fence, keys: [{ queue: 'default', name: 'order', version: 1 }], deploymentId: 'test', limit: 1 };
      const claimed: string[] = [];
      for (let index = 0; index < 12; index++) claimed.push(...(await claimRuns(open.database, one)).map(({ id }) => id));
      return claimed;
    };
    const claimed = (await Promise.all(Array.from({ length: 5 }, claimOne))).flat();
    expect(new Set(claimed).size).toBe(claimed.length);
  });

  it('the database repeats a conflicting statement under READ COMMITTED', async () => {
    await fixture.admin.query(`CREATE SEQUENCE tries; CREATE FUNCTION conflict() RETURNS int LANGUAGE plpgsql AS $$
      BEGIN
        PERFORM nextval('tries');
        IF current_setting('transaction_isolation') <> 'read committed' THEN RAISE SQLSTATE '40001'; END IF;
        RETURN 1;
      END $$`);
    expect(await open.database.query({ name: 'conflict', text: () => 'SELECT conflict()' }, [])).toEqual([[1]]);
    const [{ tries }] = await fixture.admin.query(`SELECT nextval('tries')::int - 1 AS tries`);
    // The pool's own connections are READ COMMITTED from the start.
    expect(tries).toBe(pooler ? 2 : 1);
  });
});
