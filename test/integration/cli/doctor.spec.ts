import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';

import { Database } from '../../../src/store/database.js';
import { findLongTransactions } from '../../../src/store/sql/inspect-storage.js';
import { prepareWorldSchema } from '../../../src/store/world-schema.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { command, type Outcome } from '../../support/command-line.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { PgBouncer, pgBouncerVersion } from '../../support/pgbouncer.js';
import { OrderWorkflow } from './workflows.js';

describe('doctor', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
    const { client, close } = await startApplication(database.url, [OrderWorkflow], { worker: { suspendAfter: 20 } });
    await client.start(OrderWorkflow, { card: 'good' }, { id: 'order-7' });
    await close();
  });
  afterEach(closeApplications);
  afterAll(() => database.drop());

  const doctor = (argv: string[] = [], url = database.url): Promise<Outcome> => command(['doctor', ...argv], { url });
  /** Codes of the findings that are not ok, by level, without those of the server of the tests. */
  const found = async (url = database.url): Promise<Record<string, string[]>> => {
    const { findings } = JSON.parse((await doctor(['--json'], url)).out) as { findings: { level: string; code: string }[] };
    const own = findings.filter(({ level, code }) => level !== 'ok' && !/^(FSYNC|FULL_PAGE|COMMITS)|CONNECTIONS/.test(code));
    return {
      warn: own.filter(({ level }) => level === 'warn').map(({ code }) => code),
      error: own.filter(({ level }) => level === 'error').map(({ code }) => code),
    };
  };
  const none = { warn: [], error: [] };
  /** Changes the database, looks at the findings, and takes the change back. */
  const during = async (change: string, back: string): Promise<Record<string, string[]>> => {
    await database.query(change);
    try {
      return await found();
    } finally {
      await database.query(back);
    }
  };

  it('finds nothing in a healthy database, and says so', async () => {
    expect(await found()).toEqual(none);
    const { code, out } = await doctor(['--all']);
    expect(code).toBe(0);
    for (const each of [
      'SERVER_SUPPORTED',
      'LISTEN_WORKS',
      'NO_POOLER',
      'INDEXES_VALID',
      'RIGHTS_SUFFICE',
      'NO_RUN_STUCK',
      'NO_LEFTOVERS',
    ]) {
      expect(out).toContain(`ok    ${each}  `);
    }
    expect(out).toMatch(/\n\d+ findings: 0 errors, \d+ warnings?\n$/);
  });

  it('says how to create a schema that is missing, and how to name another', async () => {
    const { code, out } = await doctor(['--schema', 'elsewhere']);
    expect(code).toBe(1);
    expect(out).toMatch(/error SCHEMA_MISSING .*"elsewhere".*\n +Name another schema .*npx nestjs-durable migrate/);
    expect(out).not.toContain('CHECK_FAILED');
  });

  it('finds what is wrong with a World, and says nothing where there is none', async () => {
    expect((await doctor(['--all'])).out).not.toContain('WORLD_');
    const world = new Database({ connectionString: database.url }, { schema: 'durable_world', poolSize: 1 });
    await prepareWorldSchema(world, 'migrate');
    await world.close();
    try {
      expect((await doctor(['--all'])).out).toContain('ok    WORLD_FINE');
      const message = `INSERT INTO durable_world.world_messages (message_id, queue, deployment_id, body, failures, due_at, created_at)
        VALUES ('m', 'q', 'blue', '{}', 7, now() - interval '2 minutes', now())`;
      const remove = 'DELETE FROM durable_world.world_messages';
      expect(await during(message, remove)).toEqual({ warn: ['WORLD_MESSAGES_FAILING'], error: ['WORLD_MESSAGES_OVERDUE'] });
      await database.query(`DELETE FROM durable_world.workflow_migrations WHERE name LIKE 'WorldMessages%'`);
      expect(await found()).toEqual({ ...none, error: ['WORLD_MIGRATIONS_MISSING'] });
    } finally {
      await database.query('DROP SCHEMA durable_world CASCADE');
    }
  });

  it('finds missing migrations, tables and indexes, and indexes that are invalid', async () => {
    const index = 'workflow_runs_wake_idx';
    const [{ definition }] = await database.query(`SELECT pg_get_indexdef('durable.${index}'::regclass) AS definition`);
    expect(await during(`DROP INDEX durable.${index}`, definition)).toEqual({ ...none, error: ['INDEX_MISSING'] });
    const validity = (isValid: boolean): string =>
      `UPDATE pg_index SET indisvalid = ${isValid} WHERE indexrelid = 'durable.${index}'::regclass`;
    expect(await during(validity(false), validity(true))).toEqual({ ...none, error: ['INDEX_INVALID'] });
    const rename = (from: string, to: string): string => `ALTER TABLE durable.${from} RENAME TO ${to}`;
    const missing = await during(rename('workflow_outbox', 'workflow_gone'), rename('workflow_gone', 'workflow_outbox'));
    expect(missing).toEqual({ ...none, error: ['TABLE_MISSING'] });
    const name = (from: string, to: string): string => `UPDATE durable.workflow_migrations SET name = '${to}' WHERE name = '${from}'`;
    const [{ name: first }] = await database.query('SELECT name FROM durable.workflow_migrations ORDER BY applied_at, name LIMIT 1');
    expect(await during(name(first, 'Later'), name('Later', first))).toEqual({ warn: ['SCHEMA_NEWER'], error: ['MIGRATIONS_MISSING'] });
  });

  it('finds runs that nobody executes, and rows of deleted runs', async () => {
    const due = `INSERT INTO durable.workflow_runs (id, name, queue, status, created_at, ready_at, start_nonce, version, input)
      VALUES ('due-1', 'ordr', 'default', 'pending', now(), now() - interval '5 minutes', 1, 1, '1')`;
    expect(await during(due, `SELECT 1`)).toEqual({ ...none, error: ['NO_WORKER'] });
    await startApplication(database.url, [OrderWorkflow], { worker: { suspendAfter: 20 } });
    expect(await found()).toEqual({ ...none, error: ['RUNS_UNREGISTERED'] });
    expect((await doctor()).out).toMatch(/RUNS_UNREGISTERED .*"ordr" version 1 .*the name resembles "order".*\n +Correct the name/);
    await closeApplications();
    await database.query(`UPDATE durable.workflow_runs SET status = 'running', session_id = 1, ready_at = NULL WHERE id = 'due-1'`);
    expect(await found()).toEqual({ ...none, error: ['RUNS_OWNERLESS'] });
    await database.query(`UPDATE durable.workflow_runs SET status = 'waiting', session_id = NULL, wake_at = now() - interval '5 minutes',
      deadline_at = now() - interval '5 minutes' WHERE id = 'due-1'`);
    expect(await found()).toEqual({ warn: ['RUNS_OVERDUE'], error: ['RUNS_OVERSLEEPING'] });
    await database.query(`UPDATE durable.workflow_runs SET is_blocked = true, wake_at = NULL, deadline_at = NULL WHERE id = 'due-1'`);
    expect(await found()).toEqual({ ...none, warn: ['RUNS_BLOCKED'] });
    await database.query(
      `UPDATE durable.workflow_runs SET is_blocked = false, status = 'pending', ready_at = now(), worker_losses = 2 WHERE id = 'due-1'`,
    );
    expect(await found()).toEqual({ ...none, warn: ['RUNS_SUSPECT'] });
    await database.query(`INSERT INTO durable.workflow_tags (run_id, key, value) VALUES ('due-1', 'a', 'b')`);
    await database.query(`DELETE FROM durable.workflow_runs WHERE id = 'due-1'`);
    expect(await found()).toEqual({ ...none, warn: ['LEFTOVERS'] });
    const { out } = await doctor();
    await database.query(/DELETE FROM "durable"\.workflow_tags t .*?\)(?=\.)/.exec(out)![0]);
    expect(await found()).toEqual(none);
  });

  it('finds schedules that are overdue, fail or lost their decorator', async () => {
    const insert = `INSERT INTO durable.workflow_schedules (name, workflow, cron, timezone, anchor_at, overlap, catch_up, catch_up_limit, input, tags, due_at, fire_at,
        failures, last_error, is_undeclared)
      SELECT name, 'gone', '0 8 * * *', 'UTC', now(), 'skip', 'last', 1, '1', '{}', now(), fire_at, failures, last_error, is_undeclared
      FROM (VALUES ('late', now() - interval '5 minutes', 0, NULL, false), ('new', now() - interval '5 seconds', 0, NULL, false),
        ('failing', now() + interval '10 seconds', 3, 'too large', false), ('lost', NULL, 0, NULL, true)) AS s(name, fire_at, failures, last_error, is_undeclared)`;
    const codes = ['SCHEDULES_FAILING', 'SCHEDULES_UNDECLARED'];
    await database.query(insert);
    const { out } = await doctor();
    expect(out).toMatch(/1 schedule overdue, such as "late" of workflow "gone" for 5m/);
    expect(out).toContain('1 schedule cannot start a run, such as "failing": too large');
    expect(await during(`SELECT 1`, 'DELETE FROM durable.workflow_schedules')).toEqual({ warn: codes, error: ['SCHEDULES_OVERDUE'] });
    expect(await found()).toEqual(none);
  });

  it('finds events that wait, and subscriptions without a process', async () => {
    const event = `INSERT INTO durable.workflow_events (name, id, payload, emitted_at) VALUES ('paid', '1', '1', now() - interval '5 minutes')`;
    expect(await during(event, 'DELETE FROM durable.workflow_events')).toEqual({ ...none, error: ['EVENTS_UNDISPATCHED'] });
    const subscription = `INSERT INTO durable.workflow_event_subscriptions (event, workflow, id, condition, queue, confirmed_at)
      VALUES ('paid', 'receipt', '', '', 'default', now() - interval '31 minutes')`;
    const back = 'DELETE FROM durable.workflow_event_subscriptions';
    expect(await during(subscription, back)).toEqual({ ...none, warn: ['SUBSCRIPTIONS_OLD'] });
  });

  it('finds dead sessions, stalled operations and a copy of a database', async () => {
    const session = `INSERT INTO durable.workflow_sessions (id, kind, host, pid, deployment_id, heartbeat_at, expires_at) OVERRIDING SYSTEM VALUE
      VALUES (1, 'worker', 'h', 1, 'd', now() - interval '1 hour', now() - interval '1 hour')`;
    expect(await during(session, 'DELETE FROM durable.workflow_sessions')).toEqual({ ...none, error: ['SESSIONS_DEAD'] });
    const operation = `INSERT INTO durable.workflow_operations (token, kind, conditions, note, matched, started_at, next_at)
      VALUES ('t', 'cancel', '{}', '{}', 1, now(), now() - interval '1 hour')`;
    expect(await during(operation, 'DELETE FROM durable.workflow_operations')).toEqual({ ...none, warn: ['OPERATION_STALLED'] });
    const oid = (change: string): string => `UPDATE durable.workflow_home SET database_oid = (database_oid::bigint ${change})::text`;
    expect(await during(oid('+ 1'), oid('- 1'))).toEqual({ ...none, error: ['COPY'] });
  });

  it('finds settings of the role, and missing rights', async () => {
    const role = `doctor_${process.pid}`;
    const url = new URL(database.url);
    url.username = role;
    url.password = 'x';
    await database.query(`CREATE ROLE ${role} LOGIN PASSWORD 'x' CONNECTION LIMIT 9`);
    try {
      expect((await found(url.href)).error).toEqual(['NO_SCHEMA_RIGHT']);
      await database.query(`GRANT USAGE ON SCHEMA durable TO ${role}`);
      expect((await found(url.href)).error).toEqual(['READ_RIGHT_MISSING']);
      await database.query(`GRANT SELECT ON ALL TABLES IN SCHEMA durable TO ${role}`);
      expect(await found(url.href)).toEqual({ ...none, warn: ['WRITE_RIGHT_MISSING'] });
      await database.query(`REVOKE SELECT ON durable.workflow_hooks FROM ${role}`);
      expect(await found(url.href)).toEqual({ ...none, warn: ['WRITE_RIGHT_MISSING', 'LEFTOVERS_UNKNOWN'] });
      for (const argv of [['runs'], ['show', 'order-7'], ['failures'], ['workers'], ['export', 'order-7']]) {
        expect(await command(argv, { url: url.href })).toMatchObject({ code: 0 });
      }
      await database.query(`GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA durable TO ${role}`);
      expect(await found(url.href)).toEqual(none);
      const set = [
        'statement_timeout = 1000',
        'synchronous_commit = off',
        'default_transaction_read_only = on',
        'idle_in_transaction_session_timeout = 900',
      ];
      for (const setting of set) await database.query(`ALTER ROLE ${role} SET ${setting}`);
      const { out, code } = await doctor([], url.href);
      expect(code).toBe(1);
      for (const each of ['STATEMENT_TIMEOUT', 'COMMITS_NOT_DURABLE', 'READ_ONLY', 'IDLE_TIMEOUT', 'CONNECTIONS_SCARCE'])
        expect(out).toContain(each);
      expect(out).toContain('statement_timeout of this role is 1s');
    } finally {
      await database.query(`DROP OWNED BY ${role}`);
      await database.query(`DROP ROLE ${role}`);
    }
  });

  it('finds transactions that are open for long, whatever their state', async () => {
    const client = new pg.Client({ connectionString: database.url, application_name: 'forgetful' });
    const own = new Database({ connectionString: database.url }, { poolSize: 1 });
    await client.connect();
    try {
      await client.query('BEGIN; SELECT 1');
      expect(await findLongTransactions(own, 0)).toContainEqual(
        expect.objectContaining({ application: 'forgetful', state: 'idle in transaction' }),
      );
      expect(await findLongTransactions(own, 60_000)).toEqual([]);
    } finally {
      await Promise.all([client.end(), own.close()]);
    }
  });

  (pgBouncerVersion === undefined ? it.skip : it)('finds a pooler in front of the server, through which commands work', async () => {
    const strict = await PgBouncer.start(database.url);
    const lenient = await PgBouncer.start(database.url, ['ignore_startup_parameters = options']);
    try {
      const urls = [strict.urlOf(), lenient.urlOf()];
      const warnings = { ...none, warn: ['POOLER', 'LISTEN_FAILS'] };
      expect(await Promise.all(urls.map((url) => found(url)))).toEqual([warnings, warnings]);
      for (const url of urls) {
        expect(await command(['show', 'order-7'], { url })).toMatchObject({ code: 0, out: expect.stringContaining('order-7  order v1') });
      }
    } finally {
      await Promise.all([strict.stop(), lenient.stop()]);
    }
  });

  it('ends with the code of an unavailable database when the database goes away meanwhile', async () => {
    const [admin, holder] = [database.url, database.url].map((connectionString) => new pg.Client({ connectionString })) as [
      pg.Client,
      pg.Client,
    ];
    await Promise.all([admin.connect(), holder.connect()]);
    // The examination waits for this lock, so it cannot end before its connections are ended.
    await holder.query('BEGIN; LOCK TABLE durable.workflow_runs IN ACCESS EXCLUSIVE MODE');
    const url = new URL(database.url);
    url.searchParams.set('application_name', 'doomed');
    const over = new AbortController();
    const kill = async (): Promise<void> => {
      while (!over.signal.aborted)
        await admin.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'doomed'`);
    };
    const killing = kill();
    try {
      const { code, err } = await doctor([], url.href);
      expect(err).toMatch(/^nestjs-durable: DATABASE_UNAVAILABLE: /);
      expect(code).toBe(6);
    } finally {
      over.abort();
      await killing;
      await Promise.all([admin.end(), holder.end()]);
    }
  });
});
