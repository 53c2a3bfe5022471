import { readFileSync } from 'node:fs';

import type { LoggerService } from '@nestjs/common';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';

import {
  Workflow,
  WorkflowClient,
  WorkflowModule,
  defineSignal,
  type WorkflowContext,
  type WorkflowModuleOptions,
} from '../../../src/index.js';
import { bootApplication, closeApplications } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { seconds, waitFor } from '../../support/wait.js';

const bodies: string[] = [];
let gate: Promise<void> = Promise.resolve();
const go = defineSignal<string>('go');

@Workflow({ name: 'copied' })
class CopiedWorkflow {
  async run(_input: void, ctx: WorkflowContext): Promise<string> {
    const where = await ctx.waitForSignal(go);
    return ctx.step('work', () => {
      bodies.push(where);
      return where;
    });
  }
}

@Workflow({ name: 'busy' })
class BusyWorkflow {
  async run(_input: void, ctx: WorkflowContext): Promise<string[]> {
    const before = await ctx.step('before', () => 'before');
    await ctx.step('held', () => gate);
    return [before, await ctx.step('after', () => 'after')];
  }
}

/** A statement of docs/operations.md. */
function documented(statement: RegExp): string {
  const found = statement.exec(readFileSync('docs/operations.md', 'utf8'));
  if (!found) throw new Error(`docs/operations.md has no ${String(statement)}`);
  return found[0];
}

/** Keeps the errors that are logged. */
class Errors implements LoggerService {
  readonly lines: string[] = [];
  log(): void {}
  warn(): void {}
  error(message: unknown): void {
    this.lines.push(String(message));
  }
}

describe('a copy of a database', () => {
  let original: TestDatabase;
  const copies: string[] = [];
  beforeEach(async () => {
    original = await createTestDatabase();
    bodies.splice(0);
  });
  afterEach(async () => {
    await closeApplications();
    await onServer(async (server) => {
      for (const name of copies.splice(0)) await server.query(`DROP DATABASE "${name}" WITH (FORCE)`);
    });
    await original.drop();
  });

  async function onServer(work: (server: pg.Client) => Promise<void>): Promise<void> {
    const server = new pg.Client({ connectionString: process.env['DURABLE_TEST_SERVER_URL'] });
    await server.connect();
    try {
      await work(server);
    } finally {
      await server.end();
    }
  }

  /** Copies the database as a restore of its dump would, and returns the address of the copy. */
  async function copy(): Promise<string> {
    const url = new URL(original.url);
    const name = url.pathname.slice(1);
    const copyName = `${name}_copy`;
    copies.push(copyName);
    await onServer(async (server) => {
      await server.query(`ALTER DATABASE "${name}" ALLOW_CONNECTIONS false`);
      await server.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1', [name]);
      await server.query(`CREATE DATABASE "${copyName}" TEMPLATE "${name}"`);
      await server.query(`ALTER DATABASE "${name}" ALLOW_CONNECTIONS true`);
    });
    url.pathname = `/${copyName}`;
    return url.href;
  }

  async function boot(
    url: string,
    options: Partial<WorkflowModuleOptions> = {},
  ): Promise<{ client: WorkflowClient; errors: Errors; close(): Promise<void> }> {
    const errors = new Errors();
    const imports = [WorkflowModule.forRoot({ worker: { suspendAfter: 10 }, ...options, connection: { url } })];
    const module = await bootApplication({ imports, providers: [CopiedWorkflow, BusyWorkflow] }, errors);
    return { client: module.get(WorkflowClient), errors, close: () => module.close() };
  }

  async function onCopy(url: string, sql: string): Promise<void> {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    try {
      await client.query(sql);
    } finally {
      await client.end();
    }
  }

  /** Leaves a run in the original that waits for a signal. */
  async function leaveRun(options: Partial<WorkflowModuleOptions> = {}): Promise<void> {
    const { client, close } = await boot(original.url, options);
    await client.start(CopiedWorkflow, undefined, { id: 'under-way' });
    await waitFor(async () => (await client.status('under-way')) === 'waiting');
    await close();
  }

  const isForeign = (errors: Errors): Promise<unknown> =>
    waitFor(() => errors.lines.some((line) => line.startsWith('worker: executes no run here')));

  it('executes no runs of the original until the row of workflow_home is deleted', async () => {
    await leaveRun();
    const url = await copy();
    const { client, errors } = await boot(url);
    await isForeign(errors);
    expect(errors.lines[0]).toContain('the database is a copy');
    expect(errors.lines[0]).toContain('DELETE FROM "durable".workflow_home');
    await client.signal('under-way', go, 'copy');
    await client.start(CopiedWorkflow, undefined, { id: 'new' });
    expect(await client.health()).toMatchObject({ worker: { state: 'stopped' }, sessions: [] });
    expect(bodies).toEqual([]);
    const because = 'because the database is a copy of the one that its runs belong to';
    await expect(client.getHandle(CopiedWorkflow, 'under-way').result({ timeout: seconds(45) })).rejects.toThrow(because);

    const real = await boot(original.url);
    await real.client.signal('under-way', go, 'original');
    expect(await real.client.getHandle(CopiedWorkflow, 'under-way').result({ timeout: seconds(30) })).toBe('original');
    expect(real.errors.lines).toEqual([]);
    expect(bodies).toEqual(['original']);

    await onCopy(url, 'DELETE FROM durable.workflow_home');
    await waitFor(async () => (await client.health()).worker.state === 'running');
    expect(await client.getHandle(CopiedWorkflow, 'under-way').result({ timeout: seconds(45) })).toBe('copy');
  });

  it('completes runs that were under way after its workflow_home is emptied, and so does the original', async () => {
    let openGate: () => void = () => undefined;
    gate = new Promise((resolve) => (openGate = resolve));
    const ids = Array.from({ length: 10 }, (_, index) => `busy-${index}`);
    const real = await boot(original.url);
    await Promise.all(ids.map((id) => real.client.start(BusyWorkflow, undefined, { id })));
    const recorded = `SELECT 1 FROM durable.workflow_steps WHERE step_key = 'before'`;
    await waitFor(async () => (await original.query(recorded)).length === ids.length);
    const url = await copy();
    await onCopy(url, 'DELETE FROM durable.workflow_home');
    const restored = await boot(url);
    openGate();
    for (const { client } of [real, restored]) {
      for (const id of ids) expect(await client.getHandle(BusyWorkflow, id).result({ timeout: seconds(30) })).toEqual(['before', 'after']);
    }
  });

  it('executes new runs once the runs of the original are cancelled as documented', async () => {
    await leaveRun();
    const url = await copy();
    await onCopy(url, documented(/UPDATE durable\.workflow_runs SET status = 'cancelled'[^`]*/));
    const { client, errors } = await boot(url);
    expect(await client.status('under-way')).toBe('cancelled');
    await client.start(CopiedWorkflow, undefined, { id: 'fresh' });
    await client.signal('fresh', go, 'copy');
    expect(await client.getHandle(CopiedWorkflow, 'fresh').result({ timeout: seconds(30) })).toBe('copy');
    expect(errors.lines).toEqual([]);
  });

  it('takes messages once its sequences are set as documented', async () => {
    const { client } = await boot(original.url, { worker: false });
    await client.start(CopiedWorkflow, undefined, { id: 'moved' });
    for (let index = 0; index < 3; index++) await client.signal('moved', go, `before-${index}`);
    // The state after logical replication: the rows are there, and the sequences begin at 1 again.
    for (const table of ['inbox', 'run_log']) await original.query(`ALTER TABLE durable.workflow_${table} ALTER COLUMN id RESTART`);
    await expect(client.signal('moved', go, 'refused')).rejects.toThrow();
    await original.query(documented(/SELECT setval[^`]*/));
    await client.signal('moved', go, 'after');
    const rows = await original.query(`SELECT payload FROM durable.workflow_inbox WHERE run_id = 'moved' ORDER BY id`);
    expect(rows.map(({ payload }) => payload)).toEqual(['before-0', 'before-1', 'before-2', 'after']);
  });

  it('executes new runs at once when it has no unfinished runs', async () => {
    await (await boot(original.url)).close();
    const { client, errors } = await boot(await copy());
    await client.start(CopiedWorkflow, undefined, { id: 'fresh' });
    await client.signal('fresh', go, 'copy');
    expect(await client.getHandle(CopiedWorkflow, 'fresh').result({ timeout: seconds(30) })).toBe('copy');
    expect(errors.lines).toEqual([]);
  });

  it('continues its runs at once when the processes name the same environment', async () => {
    await leaveRun({ environment: 'production' });
    const { client, errors } = await boot(await copy(), { environment: 'production' });
    await client.signal('under-way', go, 'restored');
    expect(await client.getHandle(CopiedWorkflow, 'under-way').result({ timeout: seconds(30) })).toBe('restored');
    expect(errors.lines).toEqual([]);
  });

  it.each([['staging'], [undefined]])('executes nothing for the environment %s, and neither does the original', async (environment) => {
    await leaveRun({ environment: 'production' });
    for (const url of [original.url, await copy()]) {
      const { errors, close } = await boot(url, { environment });
      await isForeign(errors);
      expect(errors.lines[0]).toContain('the database belongs to the environment "production"');
      await close();
    }
  });
});
