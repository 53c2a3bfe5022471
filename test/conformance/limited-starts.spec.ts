import { getDataSourceToken, TypeOrmModule } from '@nestjs/typeorm';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { DataSource } from 'typeorm';

import { defineSignal, Step, Workflow, type Batch, type WorkflowContext, type WorkflowHandle } from '../../src/index.js';
import { closeApplications, startApplication, type TestApplication } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { waitFor } from '../support/wait.js';
import { configured } from './configured.js';

const go = defineSignal('go');

let active = 0;
let most = 0;

@Workflow({ name: 'index', queue: 'narrow', batch: { size: 3, wait: '1h' } })
class IndexWorkflow {
  async run(numbers: Batch<number>): Promise<number[]> {
    await this.write();
    return numbers.map((number) => number * 2);
  }

  @Step()
  async write(): Promise<void> {
    most = Math.max(most, ++active);
    await new Promise((resolve) => setTimeout(resolve, 5));
    active--;
  }
}

@Workflow({ name: 'search' })
class SearchWorkflow {
  async run(input: string): Promise<string> {
    return `found ${input}`;
  }
}

@Workflow({ name: 'holds', queue: 'narrow' })
class HoldingWorkflow {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    await ctx.waitForSignal(go);
  }
}

describe('starts that share a run, in a queue with a limit', () => {
  let database: TestDatabase;
  let app: TestApplication;
  let dataSource: DataSource;
  beforeAll(async () => {
    database = await createTestDatabase();
    const queues = { default: {}, narrow: { concurrency: 1, countSuspended: true } };
    app = await startApplication(database.url, [IndexWorkflow, SearchWorkflow, HoldingWorkflow], { ...configured(), queues }, [
      TypeOrmModule.forRoot({ type: 'postgres', url: database.url }),
    ]);
    dataSource = app.module.get<DataSource>(getDataSourceToken());
  });
  afterAll(async () => {
    await closeApplications();
    await database.drop();
  });

  const places = async (): Promise<unknown[]> =>
    database.query(`SELECT id, name, place FROM durable.workflow_runs WHERE place IN ('admitted', 'kept', 'queued')`);
  const search = (input: string, options: object): Promise<WorkflowHandle<string>> => app.client.start(SearchWorkflow, input, options);
  const hold = async (): Promise<WorkflowHandle<void>> => {
    const holding = await app.client.start(HoldingWorkflow);
    await waitFor(async () => (await holding.describe()).startedAt);
    return holding;
  };
  /** Resolves when the run is due and waits for a place. */
  const queued = (runId: string): Promise<unknown> =>
    waitFor(
      async () => (await database.query(`SELECT 1 FROM durable.workflow_runs WHERE id = $1 AND place = 'queued'`, [runId])).length > 0,
    );

  it('a batch takes one place, and its members take none', async () => {
    const handles = await app.client.startMany(IndexWorkflow, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    await expect(Promise.all(handles.map((handle) => handle.result()))).resolves.toEqual([2, 4, 6, 8, 10, 12, 14, 16, 18]);
    expect(most).toBe(1);
    await waitFor(async () => (await places()).length === 0);
  });

  it('a debounced run that a later call moves into the queue waits for a place', async () => {
    const holding = await hold();
    const first = await search('first', { debounce: { key: 'in', period: '1h' } });
    const second = await search('second', { queue: 'narrow', debounce: { key: 'in', period: 10 } });
    expect(second.runId).toBe(first.runId);
    await queued(first.runId);
    const third = await search('third', { queue: 'narrow', debounce: { key: 'in', period: 10 } });
    expect(third.runId).not.toBe(first.runId);
    await queued(third.runId);
    await holding.signal(go, undefined);
    await expect(Promise.all([first.result(), third.result()])).resolves.toEqual(['found second', 'found third']);
    await waitFor(async () => (await places()).length === 0);
  });

  it('a debounced run that a later call moves out of the queue needs no place', async () => {
    const holding = await hold();
    const first = await search('first', { queue: 'narrow', debounce: { key: 'out', period: '1h' } });
    await search('second', { debounce: { key: 'out', period: 10 } });
    await expect(first.result()).resolves.toBe('found second');
    await holding.signal(go, undefined);
    await waitFor(async () => (await places()).length === 0);
  });

  it('starts of a transaction wait for a place once they are decided', async () => {
    const holding = await hold();
    const [debounced, throttled] = await dataSource.transaction(async (manager) => [
      await search('a', { manager, queue: 'narrow', debounce: { key: 'tx', period: 10 } }),
      await search('b', { manager, queue: 'narrow', throttle: { key: 'tx', period: '1h' } }),
    ]);
    await queued(debounced.runId);
    await queued(throttled.runId);
    await holding.signal(go, undefined);
    await expect(Promise.all([debounced.result(), throttled.result()])).resolves.toEqual(['found a', 'found b']);
    await waitFor(async () => (await places()).length === 0);
  });
});
