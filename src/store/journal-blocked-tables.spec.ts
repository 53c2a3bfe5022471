import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';

import { JournalFixture, changeOf, startOf, stepOf, type JournalOptions } from '../../test/support/faults/journal-fixture.js';
import { seconds, waitFor } from '../../test/support/wait.js';

/** Delays each write of a row with the text `slow` in a column. */
const slowWrites = (table: string, column: string, ms: number): string => `CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_sleep(${ms / 1_000}); RETURN NEW; END $$;
CREATE TRIGGER slow BEFORE INSERT ON durable.${table} FOR EACH ROW WHEN (NEW.${column} LIKE 'slow%') EXECUTE FUNCTION slow()`;

/** Longer than a loaded server takes for a write that nothing delays. */
const TIMEOUT_MS = seconds(0.2);
const LIMITED: JournalOptions = { settings: { options: `-c statement_timeout=${TIMEOUT_MS}ms` } };
const SHORT_START_TIMEOUT: JournalOptions = { limits: { startTimeoutMs: 1_500 } };

describe('a database that cancels writes', () => {
  let fixture: JournalFixture;
  let holder: pg.Client;
  beforeEach(async () => {
    fixture = await JournalFixture.create();
    holder = new pg.Client({ connectionString: fixture.admin.url });
    await holder.connect();
  });
  afterEach(async () => {
    await holder.end();
    await fixture.close();
  });

  it('the journal gives up a start that takes longer than statement_timeout, and writes other starts', async () => {
    await fixture.admin.query(slowWrites('workflow_runs', 'id', 2 * TIMEOUT_MS));
    const open = await fixture.journal({ ...LIMITED, limits: { startTimeoutMs: 7.5 * TIMEOUT_MS } });
    const slow = open.submit(startOf('slow', false));
    const given = expect(slow).rejects.toMatchObject({
      code: 'DATABASE_UNAVAILABLE',
      mayHaveTakenEffect: false,
      message: expect.stringContaining('"slow"'),
      cause: { code: '57014' },
    });
    for (let index = 0; index < 20; index++) await open.submit(startOf(`other-${index}`, false));
    await given;
    expect(open.troubles).toContainEqual(expect.objectContaining({ code: '57014' }));
    // Without a pause between tries there would be seven in this time.
    expect(open.troubles.length).toBeLessThan(6);
    expect(await fixture.admin.query(`SELECT id FROM durable.workflow_runs WHERE id = 'slow'`)).toEqual([]);
  });

  it('the journal retries a step that takes longer than statement_timeout until the database accepts it', async () => {
    const open = await fixture.journal(LIMITED);
    await open.submit(startOf('stepping', true));
    await open.submit(startOf('neighbour', true));
    await fixture.admin.query(slowWrites('workflow_steps', 'step_key', 2 * TIMEOUT_MS));
    let written = false;
    const slow = open.submit(stepOf('stepping', 1, { stepKey: 'slow' })).then(() => (written = true));
    const end = open.submit(changeOf('stepping'));
    for (let seq = 1; seq <= 20; seq++) await open.submit(stepOf('neighbour', seq));
    await waitFor(() => open.troubles.length >= 4);
    expect(written).toBe(false);
    await fixture.admin.query('DROP TRIGGER slow ON durable.workflow_steps');
    await slow;
    await expect(end).resolves.toMatchObject({ outcome: 'done' });
  });

  it('the journal writes a batch that takes longer than statement_timeout in parts', async () => {
    await fixture.admin.query(slowWrites('workflow_runs', 'id', TIMEOUT_MS / 40));
    const open = await fixture.journal(LIMITED);
    const ids = Array.from({ length: 120 }, (_, index) => `slow-${index}`);
    await Promise.all(ids.map((id) => open.submit(startOf(id, false))));
    const [{ count }] = await fixture.admin.query('SELECT count(*)::int FROM durable.workflow_runs');
    expect(count).toBe(120);
  });

  it.each(['SHARE', 'ACCESS EXCLUSIVE'])(
    'a table lock in %s mode is reported, makes starts fail, and delays steps until its release',
    async (mode) => {
      const open = await fixture.journal(SHORT_START_TIMEOUT);
      const ids = Array.from({ length: 40 }, (_, index) => `run-${index}`);
      await Promise.all(ids.map((id) => open.submit(startOf(id, true))));
      await holder.query(`BEGIN; LOCK TABLE durable.workflow_runs, durable.workflow_steps IN ${mode} MODE`);
      const steps = ids.map((id) => open.submit(stepOf(id, 1)));
      await expect(open.submit(startOf('given-up', false))).rejects.toMatchObject({
        code: 'DATABASE_UNAVAILABLE',
        mayHaveTakenEffect: false,
        cause: { code: '55P03' },
      });
      expect(open.troubles.length).toBeGreaterThan(0);
      expect(open.troubles.length).toBeLessThan(14);
      await holder.query('COMMIT');
      await Promise.all(steps);
      expect(open.fenced).toEqual([]);
    },
  );

  it('the journal gives up a start whose id an open transaction has inserted, and writes other starts', async () => {
    const open = await fixture.journal(SHORT_START_TIMEOUT);
    await holder.query('BEGIN');
    await holder.query(`INSERT INTO durable.workflow_runs (id, name, version, queue, status, created_at, ready_at, start_nonce, input)
      VALUES ('taken', 'order', 1, 'default', 'pending', now(), now(), 1, '{}')`);
    const given = expect(open.submit(startOf('taken', false))).rejects.toMatchObject({ code: 'DATABASE_UNAVAILABLE' });
    await Promise.all(Array.from({ length: 50 }, (_, index) => open.submit(startOf(`free-${index}`, false))));
    await given;
    await holder.query('ROLLBACK');
  });

  it('an error that a trigger raises for one row fails only that run', async () => {
    await fixture.admin.query(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not this one'; END $$;
      CREATE TRIGGER refuse BEFORE INSERT ON durable.workflow_runs FOR EACH ROW WHEN (NEW.id = 'unwanted') EXECUTE FUNCTION refuse()`);
    const open = await fixture.journal();
    const ids = ['unwanted', ...Array.from({ length: 30 }, (_, index) => `wanted-${index}`)];
    const outcomes = await Promise.allSettled(ids.map((id) => open.submit(startOf(id, false))));
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', ...Array.from({ length: 30 }, () => 'fulfilled')]);
  });
});
