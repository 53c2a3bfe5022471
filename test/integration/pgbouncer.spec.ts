import { TypeOrmModule, getDataSourceToken } from '@nestjs/typeorm';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { DataSource } from 'typeorm';

import {
  InvalidInputError,
  Workflow,
  WorkflowClient,
  WorkflowModule,
  type WorkflowContext,
  type WorkflowModuleOptions,
} from '../../src/index.js';
import { bootApplication, closeApplications } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { FaultScene, range, troublesOf } from '../support/faults/fault-workers.js';
import { PgBouncer, pgBouncerVersion } from '../support/pgbouncer.js';
import { seconds, waitFor } from '../support/wait.js';
import { withoutStalls } from '../support/log-lines.js';

@Workflow({ name: 'count' })
class CountWorkflow {
  async run(input: { steps: number; sleep?: number }, ctx: WorkflowContext): Promise<number> {
    let sum = 0;
    for (let index = 1; index <= input.steps; index++) sum += await ctx.step('add', async () => index);
    if (input.sleep !== undefined) await ctx.sleep(input.sleep);
    return sum;
  }
}

const warnings: string[] = [];
const logger = { log: () => undefined, error: () => undefined, warn: (message: string) => void warnings.push(message) };

if (pgBouncerVersion === undefined) process.stderr.write('pgbouncer is not installed: its tests are skipped\n');

(pgBouncerVersion === undefined ? describe.skip : describe)('a PgBouncer in transaction mode', () => {
  let database: TestDatabase;
  let bouncer: PgBouncer;
  /** A PgBouncer that accepts startup settings and ignores them. */
  let lenient: PgBouncer;
  beforeAll(async () => {
    database = await createTestDatabase();
    [bouncer, lenient] = await Promise.all([
      PgBouncer.start(database.url),
      PgBouncer.start(database.url, ['ignore_startup_parameters = options']),
    ]);
  });
  afterEach(async () => {
    await closeApplications();
    warnings.length = 0;
  });
  afterAll(async () => {
    await Promise.all([bouncer.stop(), lenient.stop()]);
    await database.drop();
  });

  const boot = async (url: string, options: WorkflowModuleOptions) => {
    const module = WorkflowModule.forRoot({ connection: { url }, worker: { suspendAfter: 10 }, ...options });
    return (await bootApplication({ imports: [module], providers: [CountWorkflow] }, logger)).get(WorkflowClient);
  };
  const rejection = async (url: string, options: WorkflowModuleOptions) => boot(url, options).catch((error: unknown) => error);

  it.each([
    ['without a direct connection', undefined],
    ['with a direct connection', 'direct'],
  ])('lets a worker execute runs, %s', async (_, listen) => {
    const options = listen === undefined ? {} : { listen: { url: database.url } };
    const client = await boot(bouncer.urlOf(database.url), { pooler: 'transaction', ...options });
    const inputs = Array.from({ length: 200 }, (__, index) => ({ steps: 3, ...(index % 10 === 0 ? { sleep: 50 } : {}) }));
    const handles = await client.startMany(CountWorkflow, inputs);
    expect(await Promise.all(handles.map((handle) => handle.result({ timeout: seconds(45) })))).toEqual(inputs.map(() => 6));
    const held = await database.query('SELECT holds_lock FROM durable.workflow_sessions');
    expect(held).toEqual([{ holds_lock: listen !== undefined }]);
    expect(withoutStalls(warnings)).toEqual([]);
  });

  it('keeps no statement, no setting, no lock and no LISTEN on its server connections', async () => {
    const client = await boot(bouncer.urlOf(database.url), { pooler: 'transaction' });
    await client.execute(CountWorkflow, { steps: 2, sleep: 20 });
    const dataSource = (
      await bootApplication({
        imports: [TypeOrmModule.forRoot({ type: 'postgres', url: bouncer.urlOf(database.url) })],
      })
    ).get<DataSource>(getDataSourceToken());
    // More queries at once than the pooler has connections, so that each connection answers one.
    const asked = Array.from({ length: 20 }, () =>
      dataSource.query(`SELECT (SELECT count(*)::int FROM pg_prepared_statements) AS statements, (SELECT count(*)::int FROM pg_listening_channels()) AS channels,
        current_setting('lock_timeout') AS patience, current_setting('enable_seqscan') AS scans, pg_sleep(0.02)::text`),
    );
    const rows = new Set((await Promise.all(asked)).map((row) => JSON.stringify(row)));
    expect([...rows].map((row) => JSON.parse(row))).toEqual([[{ statements: 0, channels: 0, patience: '0', scans: 'on', pg_sleep: '' }]]);
    expect(
      await database.query(
        `SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
      ),
    ).toEqual([]);
  });

  it('fails the boot of an application without the option pooler, and the error names the option', async () => {
    for (const url of [bouncer.urlOf(database.url), lenient.urlOf(database.url)]) {
      const error = await rejection(url, {});
      expect(error).toMatchObject({ code: 'CONFIGURATION' });
      expect((error as Error).message).toMatch(/pooler.*set pooler: 'transaction'/);
    }
  });

  it('listen: true is refused beside the option pooler', async () => {
    const error = await rejection(bouncer.urlOf(database.url), { pooler: 'transaction', listen: true });
    expect(error).toBeInstanceOf(InvalidInputError);
    expect(error).toMatchObject({ argument: 'listen' });
    expect(await rejection(database.url, { pooler: 'session' as never })).toMatchObject({ argument: 'pooler' });
  });

  it.each([
    ['with the option pooler', 'transaction'],
    ['without the option', undefined],
  ] as const)('causes a warning when the listen url leads through it, %s, and polling executes runs', async (_, pooler) => {
    const url = pooler === undefined ? database.url : bouncer.urlOf(database.url);
    const client = await boot(url, { ...(pooler === undefined ? {} : { pooler }), listen: { url: bouncer.urlOf(database.url) } });
    expect(withoutStalls(warnings)).toEqual([expect.stringMatching(/listen.*its url leads through a pooler.*listen: \{ url \}/)]);
    await expect(client.execute(CountWorkflow, { steps: 1, sleep: 20 })).resolves.toBe(1);
    expect(await database.query('SELECT holds_lock FROM durable.workflow_sessions')).toEqual([{ holds_lock: false }]);
  });

  it('a start joins a transaction of the application’s DataSource, which uses the pooler too', async () => {
    const module = await bootApplication({
      imports: [
        TypeOrmModule.forRoot({ type: 'postgres', url: bouncer.urlOf(database.url) }),
        WorkflowModule.forRoot({ pooler: 'transaction', worker: {} }),
      ],
      providers: [CountWorkflow],
    });
    const client = module.get(WorkflowClient);
    const dataSource = module.get<DataSource>(getDataSourceToken());
    const handle = await dataSource.transaction((manager) => client.start(CountWorkflow, { steps: 3 }, { id: 'joined', manager }));
    await expect(handle.result({ timeout: seconds(30) })).resolves.toBe(6);
    const undone = dataSource.transaction(async (manager) => {
      await client.start(CountWorkflow, { steps: 3 }, { id: 'undone', manager });
      throw new Error('rolled back');
    });
    await expect(undone).rejects.toThrow('rolled back');
    expect(await database.query(`SELECT id FROM durable.workflow_runs WHERE id IN ('joined', 'undone')`)).toEqual([{ id: 'joined' }]);
  });

  it('loses nothing when it is killed and restarted, and the same worker continues', async () => {
    const scene = await FaultScene.create();
    try {
      const worker = await scene.ready({ url: bouncer.urlOf(scene.database.url), pooler: 'transaction', worker: { sessionTtl: '20s' } });
      const ids = range('crossing-', 60);
      await scene.start('adder', { steps: 20, ms: 20 }, ids);
      for (let round = 1; round <= 2; round++) {
        const wanted = 200 * round;
        const isThere = async (): Promise<boolean> =>
          (await scene.database.query<{ n: number }>('SELECT count(*)::int AS n FROM durable.workflow_steps'))[0]!.n >= wanted;
        await waitFor(isThere, { message: `${wanted} steps` });
        await bouncer.kill();
        await new Promise((resolve) => setTimeout(resolve, 300));
        await bouncer.restart();
      }
      await waitFor(async () => (await scene.statuses())['completed'] === ids.length, { timeoutMs: 30_000 });
      const [wrong] = await scene.database.query<{ n: number }>(
        `SELECT count(*)::int AS n FROM durable.workflow_runs WHERE output::text <> '210'`,
      );
      expect(wrong!.n).toBe(0);
      // Every step is recorded once, and no run was taken over.
      const [steps] = await scene.database.query<{ n: number }>('SELECT count(*)::int AS n FROM durable.workflow_steps');
      expect(steps!.n).toBe(ids.length * 20);
      expect(await scene.database.query(`SELECT 1 FROM durable.workflow_run_log WHERE kind = 'worker_lost'`)).toEqual([]);
      expect(troublesOf(worker)).toEqual([]);
    } finally {
      await scene.close();
    }
  });

  it('the run of a killed worker is taken over soon after its sessionTtl', async () => {
    const scene = await FaultScene.create();
    try {
      const options = { url: bouncer.urlOf(scene.database.url), pooler: 'transaction', worker: { sessionTtl: '2s' } } as const;
      const first = await scene.ready(options);
      await scene.start('gated', {}, ['handed over']);
      await first.waitForLine(/^body handed over$/);
      const second = await scene.ready(options);
      first.kill();
      await second.waitForLine(/^body handed over$/, 6_000);
      await scene.open(['handed over']);
      await waitFor(async () => (await scene.statuses())['completed'] === 1);
    } finally {
      await scene.close();
    }
  });
});
