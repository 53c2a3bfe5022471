import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { Workflow, type WorkflowContext } from '../../../src/index.js';
import { closeApplications, startApplication, type TestApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { spawnCompiled, type SpawnedProcess } from '../../support/processes.js';
import { parseExposition, valueOf, type ParsedMetric } from '../../support/prometheus.js';
import { seconds, waitFor } from '../../support/wait.js';

/** Has the name of a workflow of the other process, whose body takes long. */
@Workflow({ name: 'busy' })
class Quick {
  async run(ms: number, ctx: WorkflowContext): Promise<number> {
    return ctx.step('work', () => ms);
  }
}

@Workflow({ name: 'blocking' })
class Blocking {
  async run(ms: number, ctx: WorkflowContext): Promise<void> {
    await ctx.step('compute', () => {
      const until = performance.now() + ms;
      while (performance.now() < until);
    });
  }
}

describe('the metrics of a worker', () => {
  let database: TestDatabase;
  let child: SpawnedProcess | undefined;
  beforeAll(async () => {
    database = await createTestDatabase();
    await database.query('CREATE TABLE bodies (run_id text, step_key text, pid int)');
  });
  afterEach(closeApplications);
  afterAll(async () => {
    child?.kill();
    await database.drop();
  });

  const read = async ({ client }: TestApplication): Promise<ReadonlyMap<string, ParsedMetric>> => parseExposition(await client.metrics());
  /** Waits until a metric without labels has a value. */
  const counted = (app: TestApplication, name: string, value: number): Promise<boolean> =>
    waitFor(async () => valueOf(await read(app), `nestjs_durable_${name}`) === value, { message: `${name} to be ${value}` });

  it('count a worker that was killed, and the run that it owned', async () => {
    child = spawnCompiled('test/processes/conformance-worker.ts', {
      env: { CONFORMANCE_SETTINGS: JSON.stringify({ url: database.url, worker: {} }) },
    });
    await child.waitForLine(/^ready /);
    const starter = await startApplication(database.url, [], { worker: false });
    await starter.client.start('busy', 60_000, { id: 'lost' });
    await waitFor(async () => (await starter.client.status('lost')) === 'running');
    const heir = await startApplication(database.url, [Quick]);
    const { fenced, lost } = await read(heir).then((metrics) => ({
      fenced: valueOf(metrics, 'nestjs_durable_sessions_fenced_total'),
      lost: valueOf(metrics, 'nestjs_durable_workers_lost_total'),
    }));
    expect([fenced, lost]).toEqual([0, 0]);
    child.kill('SIGKILL');
    await counted(heir, 'workers_lost_total', 1);
    await counted(heir, 'runs_taken_over_total', 1);
    await heir.client.getHandle('lost').result({ timeout: seconds(10) });
  });

  it('count a session that was taken over', async () => {
    const app = await startApplication(database.url, [Quick]);
    await app.client.execute(Quick, 1);
    await database.query('DELETE FROM durable.workflow_sessions');
    await app.client.execute(Quick, 1);
    await counted(app, 'sessions_fenced_total', 1);
    expect(valueOf(await read(app), 'nestjs_durable_runs_ended_total', { workflow: 'busy', status: 'completed' })).toBe(2);
  });

  it('count a body that blocks the event loop', async () => {
    const app = await startApplication(database.url, [Blocking]);
    await app.client.execute(Blocking, 1_800);
    // A loaded machine may stall the loop once more.
    await waitFor(async () => valueOf(await read(app), 'nestjs_durable_event_loop_stalls_total') >= 1);
    expect(valueOf(await read(app), 'nestjs_durable_event_loop_stalled_seconds_total')).toBeGreaterThan(1);
  });

  it('are returned without the gauges from the database while the database is away', async () => {
    const other = await createTestDatabase();
    const app = await startApplication(other.url, [Quick]);
    await app.client.execute(Quick, 1);
    await other.drop();
    await counted(app, 'database_up', 0);
    const metrics = await read(app);
    expect(valueOf(metrics, 'nestjs_durable_runs_ended_total', { workflow: 'busy', status: 'completed' })).toBe(1);
    expect(metrics.has('nestjs_durable_inbox_messages')).toBe(false);
  });
});
