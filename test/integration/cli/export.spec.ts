import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { Workflow, type WorkflowContext } from '../../../src/index.js';
import { HookSchemas } from '../../../src/core/hook-schemas.js';
import { Payloads } from '../../../src/core/payloads.js';
import { DEFAULT_RETRY_POLICY } from '../../../src/core/retry-policy.js';
import type { EngineSettings, Recording, WorkflowDefinition } from '../../../src/engine/ports.js';
import { verifyReplay } from '../../../src/engine/verify-replay.js';
import { closeApplications, startApplication, type TestApplication } from '../../support/application.js';
import { command } from '../../support/command-line.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { waitFor } from '../../support/wait.js';
import { approved, OrderWorkflow } from './workflows.js';

@Workflow({ name: 'counter' })
class CounterWorkflow {
  async run(round: number, ctx: WorkflowContext): Promise<number> {
    await ctx.step('count', () => round);
    if (round < 2) return ctx.continueAsNew(CounterWorkflow, round + 1);
    return round;
  }
}

type Exported = Recording & { format: string; formatVersion: number; workflow: { name: string; version: number; queue: string } };

const settings: EngineSettings = {
  payloads: new Payloads(4 << 20, undefined),
  isDevelopment: false,
  cancelGraceMs: 30_000,
  replayStallMs: 2_000,
  now: () => Date.now(),
  isSure: () => true,
  isClosing: () => false,
  log: () => undefined,
  starts: {
    check: () => ({ name: '', withInput: () => Promise.reject(new Error('no run starts here')) }),
    idFor: (id, key) => `${id}:${key}`,
  },
  hookUrl: (token) => token,
  hookSchemas: new HookSchemas(),
};

/** Replays an exported run with this code. Returns the step and the description of a difference. */
async function replay(exported: Exported, run: (input: any, ctx: WorkflowContext) => Promise<unknown>): Promise<string | undefined> {
  const { name, version, queue } = exported.workflow;
  const definition: WorkflowDefinition = {
    name,
    version,
    queue,
    owns: () => false,
    invoke: run,
    retry: DEFAULT_RETRY_POLICY,
    stepTimeoutMs: 1_000,
  };
  const { outcome, history } = exported;
  return (await verifyReplay({ run: exported.run, definition, history, ...(outcome ? { outcome } : {}) }, settings))?.message;
}

describe('the export of a run', () => {
  let database: TestDatabase;
  let app: TestApplication;
  let folder: string;
  beforeAll(async () => {
    database = await createTestDatabase();
    app = await startApplication(database.url, [OrderWorkflow, CounterWorkflow], { worker: { suspendAfter: 20 } });
    folder = await mkdtemp(join(tmpdir(), 'durable-export-'));
  });
  afterAll(async () => {
    await closeApplications();
    await database.drop();
    await rm(folder, { recursive: true });
  });

  const exportRun = (...argv: string[]) => command(['export', ...argv], { url: database.url });
  const exported = async (...argv: string[]): Promise<Exported> => JSON.parse((await exportRun(...argv)).out) as Exported;
  const code = (input: { card: 'good' | 'declined' }, ctx: WorkflowContext) => new OrderWorkflow().run(input, ctx);

  it('is a recording that the replay check accepts with the same code, and refuses with other code', async () => {
    const handle = await app.client.start(OrderWorkflow, { card: 'good' }, { id: 'done-1' });
    await app.client.signal('done-1', approved, { by: 'ann' });
    await handle.result();
    const file = await exported('done-1');
    expect(file).toMatchObject({
      format: 'nestjs-durable/history',
      formatVersion: 1,
      workflow: { name: 'order', version: 1, queue: 'default' },
    });
    expect(file.history.steps.map(({ stepKey }) => stepKey)).toEqual(['reserve', 'charge', 'signal:approved', 'ship']);
    expect(await replay(file, code)).toBeUndefined();
    expect(await replay(file, async (input, ctx) => `${await code(input, ctx)}!`)).toMatch(/output differs/);
    expect(await replay(file, async (input, ctx) => (await ctx.step('pack', () => 1), code(input, ctx)))).toBeDefined();
  });

  it('has failed, cancelled, continued and active runs', async () => {
    const failing = await app.client.start(OrderWorkflow, { card: 'declined' }, { id: 'failed-1' });
    await expect(failing.result()).rejects.toThrow();
    const failed = await exported('failed-1');
    expect(failed.outcome).toMatchObject({ status: 'failed', failure: { code: 'CARD_DECLINED', step: 'charge' } });
    expect(await replay(failed, code)).toBeUndefined();
    expect(await replay(failed, async () => 'fine')).toBeDefined();

    await app.client.start(OrderWorkflow, { card: 'good' }, { id: 'active-1' });
    await waitFor(async () => (await app.client.status('active-1')) === 'waiting');
    const active = await exported('active-1');
    expect(active).toMatchObject({ outcome: null, history: { waits: [{ kind: 'signal', name: 'approved' }] } });
    await app.client.terminate('active-1');
    expect((await exported('active-1')).outcome).toMatchObject({ status: 'cancelled' });

    await (await app.client.start(CounterWorkflow, 1, { id: 'chain-1' })).result();
    const first = await exported('chain-1', '--exact');
    expect(first.outcome).toMatchObject({ status: 'completed', continuedAs: { name: 'counter', input: '2' } });
    expect((await exported('chain-1')).outcome).toMatchObject({ status: 'completed', output: '2' });
  });

  it('is written page by page to a new file that only its owner can read', async () => {
    const many = 2_500;
    await app.client.start(OrderWorkflow, { card: 'declined' }, { id: 'long-1' });
    await waitFor(async () => (await app.client.status('long-1')) === 'failed');
    await database.query(
      `INSERT INTO durable.workflow_steps (run_id, step_key, started_at, finished_at, seq, epoch, attempts, called_after, called_after_io, kind, status, output)
       SELECT 'long-1', 'many#' || n, now(), now(), 10 + n, 1, 1, 0, false, 'step', 'completed', '1' FROM generate_series(1, $1) n`,
      [many],
    );
    const path = join(folder, 'long.json');
    expect(await exportRun('long-1', '--output', path)).toEqual({
      code: 0,
      out: '',
      err: `wrote ${many + 2} steps of run "long-1" to ${path}\n`,
    });
    expect((JSON.parse(await readFile(path, 'utf8')) as Exported).history.steps).toHaveLength(many + 2);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await exportRun('long-1', '--output', path)).toMatchObject({
      code: 1,
      err: expect.stringContaining('FILE: cannot create the file: EEXIST'),
    });
    expect((await stat(path)).size).toBeGreaterThan(0);
  });
});
