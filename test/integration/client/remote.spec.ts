import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { currentStep, Workflow, WorkflowCancelledError, workflowRef, type WorkflowContext } from '../../../src/index.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { PATIENCE, seconds, waitFor } from '../../support/wait.js';

let aborted = false;

@Workflow({ name: 'work' })
class WorkWorkflow {
  async run(kind: 'quick' | 'fail' | 'sleep' | 'hang', ctx: WorkflowContext): Promise<string> {
    if (kind === 'sleep') await ctx.sleep('1 day');
    return ctx.step('work', { retry: { maxAttempts: 1 } }, () => {
      if (kind === 'fail') throw new Error('in vain');
      if (kind === 'quick') return 'done';
      return new Promise<string>(() => currentStep().abortSignal.addEventListener('abort', () => (aborted = true)));
    });
  }
}

const work = workflowRef<string, string>('work');
/** Intervals so long that polling cannot explain a quick result. */
const RARELY = { pollInterval: '30s', maxPollInterval: '30s' };

describe('a client in one process and a worker in another', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(closeApplications);
  afterAll(() => database.drop());

  const boot = async (worker: object, listen: boolean) => {
    const [there, here] = [
      await startApplication(database.url, [WorkWorkflow], { worker, listen }),
      await startApplication(database.url, [], { worker: false, listen }),
    ];
    return { there: there.client, here: here.client };
  };
  const milliseconds = async (work: () => Promise<unknown>): Promise<number> => {
    const since = performance.now();
    await work();
    return performance.now() - since;
  };

  it('notify each other of starts and results when both listen', async () => {
    const { here } = await boot(RARELY, true);
    // The first run pays for query plans and connections.
    await here.execute(work, 'quick');
    const took: number[] = [];
    // While a process listens, it polls for results after a second, and for due runs after 30 s.
    // The fastest run shows that neither poll was needed. A slow machine needs more than five runs.
    while (took.length < 5 || (took.length < 100 && Math.min(...took) >= 900)) {
      took.push(await milliseconds(() => expect(here.execute(work, 'quick')).resolves.toBe('done')));
    }
    expect(Math.min(...took)).toBeLessThan(900);
    expect(Math.max(...took)).toBeLessThan(15_000 * PATIENCE);
    const failing = await here.start('work', 'fail');
    await expect(failing.result({ timeout: seconds(30) })).rejects.toMatchObject({ code: 'WORKFLOW_FAILED' });
    await expect(failing.describe()).resolves.toMatchObject({ version: 1, name: 'work' });
  });

  it('cancel a suspended run and a running run immediately when both listen', async () => {
    const { here } = await boot({ ...RARELY, suspendAfter: 10, shutdownTimeout: 10 }, true);
    aborted = false;
    const [sleeping, hanging] = await here.startMany(work, ['sleep', 'hang']);
    await waitFor(async () => (await sleeping!.status()) === 'waiting' && (await hanging!.status()) === 'running');
    const took = await milliseconds(async () => {
      for (const handle of [sleeping!, hanging!]) {
        await handle.cancel();
        await expect(handle.result({ timeout: seconds(30) })).rejects.toBeInstanceOf(WorkflowCancelledError);
      }
    });
    expect(took).toBeLessThan(4_000 * PATIENCE);
    expect(aborted).toBe(true);
  });

  it('execute a delayed run as soon as it is due', async () => {
    const { here } = await boot(RARELY, true);
    const took = await milliseconds(() => here.execute(work, 'quick', { delay: 200 }));
    expect(took).toBeGreaterThanOrEqual(200);
    expect(took).toBeLessThan(4_000 * PATIENCE);
  });

  it('see changes of each other by polling when they do not listen', async () => {
    const { here } = await boot({ pollInterval: 20, maxPollInterval: 40, suspendAfter: 10, shutdownTimeout: 10 }, false);
    await expect(here.execute(work, 'quick')).resolves.toBe('done');
    await expect(here.execute(work, 'quick', { delay: 100 })).resolves.toBe('done');
    const handles = await here.startMany(work, ['sleep', 'hang']);
    await waitFor(async () => (await handles[0]!.status()) === 'waiting' && (await handles[1]!.status()) === 'running');
    for (const handle of handles) {
      await handle.cancel();
      await expect(handle.result({ timeout: seconds(30) })).rejects.toBeInstanceOf(WorkflowCancelledError);
    }
  });

  it('share the runs with a second worker, and each run is executed once', async () => {
    const worker = { pollInterval: 20, concurrency: 5 };
    const { here } = await boot(worker, true);
    await startApplication(database.url, [WorkWorkflow], { worker });
    const handles = await here.startMany(
      work,
      Array.from({ length: 100 }, () => 'quick'),
      (_, index) => ({ id: `shared-${index}` }),
    );
    await expect(Promise.all(handles.map((handle) => handle.result()))).resolves.toEqual(Array(100).fill('done'));
    const [count] = await database.query(
      `SELECT count(*)::int AS runs, max(epoch) AS epoch FROM durable.workflow_runs WHERE starts_with(id, 'shared-')`,
    );
    expect(count).toEqual({ runs: 100, epoch: 1 });
  });
});
