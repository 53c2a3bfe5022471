import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { Step, Workflow, type WorkflowClient, type WorkflowContext } from '../../src/index.js';
import { closeApplications, startApplication, type TestApplication } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { waitFor } from '../support/wait.js';
import { configured } from './configured.js';

/** Times at which bodies began, by the name of their group, in milliseconds. */
const begun = new Map<string, number[]>();
const active = new Set<string>();
let most = 0;
let isHeld = false;

function begin(group: string): void {
  begun.set(group, [...(begun.get(group) ?? []), performance.now()]);
}

@Workflow({ name: 'rated' })
class RatedWorkflow {
  async run(group: string, ctx: WorkflowContext): Promise<void> {
    await ctx.step('body', () => begin(group));
  }
}

@Workflow({ name: 'limited-steps' })
class LimitedStepsWorkflow {
  async run(input: { api: string; calls: number }, ctx: WorkflowContext): Promise<number> {
    const calls = Array.from({ length: input.calls }, (_, index) =>
      ctx.step('call', { key: String(index), limit: input.api }, async () => {
        begin(input.api);
        const id = `${ctx.runId}:${index}`;
        active.add(id);
        most = Math.max(most, active.size);
        if (isHeld) await waitFor(() => !isHeld);
        active.delete(id);
      }),
    );
    return (await Promise.all(calls)).length;
  }
}

@Workflow({ name: 'decorated' })
class DecoratedWorkflow {
  async run(_input: void, _ctx: WorkflowContext): Promise<string> {
    return this.call();
  }

  @Step({ limit: 'nothing', retry: { maxAttempts: 1 } })
  async call(): Promise<string> {
    return 'called';
  }
}

const PERIOD_MS = 400;
const LIMIT = 8;
const rateLimit = { limit: LIMIT, period: PERIOD_MS };

describe('rate limits', () => {
  let client: WorkflowClient;
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
    const options = {
      ...configured(),
      queues: { rated: { rateLimit }, 'rated-keys': { key: { rateLimit } }, bursts: { rateLimit: { limit: 1, period: '1h', burst: 3 } } },
      limits: { api: { rateLimit }, pair: { concurrency: 2 } },
      worker: { queues: ['default', 'rated', 'rated-keys', 'bursts'], suspendAfter: 0 },
    } as const;
    const boot = (): Promise<TestApplication> =>
      startApplication(database.url, [RatedWorkflow, LimitedStepsWorkflow, DecoratedWorkflow], {
        ...options,
        worker: { ...options.worker, queues: [...options.worker.queues] },
      });
    const applications = [await boot(), await boot()];
    ({ client } = applications[0]!);
  });
  afterEach(() => {
    isHeld = false;
  });
  afterAll(async () => {
    isHeld = false;
    await closeApplications();
    await database.drop();
  });

  /**
   * Expects that the last body began no earlier than the limit allows. `since` is a time before the
   * starts: the first body may begin late, and then tells nothing about the others.
   */
  const expectSpread = (group: string, count: number, since: number): void => {
    const times = begun.get(group)!.sort((a, b) => a - b);
    expect(times).toHaveLength(count);
    expect(times.at(-1)! - since).toBeGreaterThan(((count - 2) * PERIOD_MS) / LIMIT);
  };

  it('spread the starts of runs over all processes, and give every run a slot of its own', async () => {
    const count = 24;
    const since = performance.now();
    const handles = await client.startMany(
      RatedWorkflow,
      Array.from({ length: count }, () => 'runs'),
      { queue: 'rated' },
    );
    await Promise.all(handles.map((handle) => handle.result()));
    expectSpread('runs', count, since);
  });

  it('apply to each key apart', async () => {
    const inputs = Array.from({ length: 20 }, (_, index) => `key-${index % 2}`);
    const since = performance.now();
    const handles = await client.startMany(RatedWorkflow, inputs, (group) => ({ queue: 'rated-keys', queueKey: group }));
    await Promise.all(handles.map((handle) => handle.result()));
    expectSpread('key-0', 10, since);
    expectSpread('key-1', 10, since);
  });

  it('allow a burst after a pause, and no more', async () => {
    const handles = await client.startMany(
      RatedWorkflow,
      Array.from({ length: 5 }, () => 'burst'),
      { queue: 'bursts' },
    );
    await waitFor(() => begun.get('burst')?.length === 3);
    const rows = await database.query(`SELECT count(*)::int AS n FROM durable.workflow_runs WHERE queue = 'bursts' AND place = 'queued'`);
    expect(rows).toEqual([{ n: 2 }]);
    await Promise.all(handles.map((handle) => handle.cancel()));
    expect(begun.get('burst')).toHaveLength(3);
  });

  it('spread the attempts of steps over all processes', async () => {
    const since = performance.now();
    const runs = [1, 2, 3].map(() => client.execute(LimitedStepsWorkflow, { api: 'api', calls: 8 }));
    expect(await Promise.all(runs)).toEqual([8, 8, 8]);
    expectSpread('api', 24, since);
  });

  it('execute at most as many steps as a limit has places', async () => {
    most = 0;
    isHeld = true;
    const runs = [1, 2, 3].map(() => client.execute(LimitedStepsWorkflow, { api: 'pair', calls: 4 }));
    await waitFor(() => active.size === 2);
    expect(await database.query('SELECT count(*)::int AS n FROM durable.workflow_step_places')).toEqual([{ n: 2 }]);
    isHeld = false;
    await Promise.all(runs);
    expect(most).toBe(2);
    await waitFor(async () => (await database.query('SELECT 1 FROM durable.workflow_step_places')).length === 0);
  });

  it('fail a step that names a limit which does not exist', async () => {
    await expect(client.execute(DecoratedWorkflow)).rejects.toThrow();
    const [row] = await database.query(`SELECT error_code, failed_step FROM durable.workflow_runs WHERE name = 'decorated'`);
    expect(row).toEqual({ error_code: 'INVALID_INPUT', failed_step: 'call' });
  });
});
