import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import {
  defineEvent,
  defineSignal,
  InvalidInputError,
  NonRetryableError,
  Step,
  Workflow,
  WorkflowConfigurationError,
  type Batch,
  type WorkflowContext,
  type WorkflowHandle,
} from '../../src/index.js';
import { closeApplications, startApplication, type TestApplication } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { waitFor } from '../support/wait.js';
import { configured } from './configured.js';

const release = defineSignal('release');
const arrived = defineEvent<Doc>('arrived');

interface Doc {
  readonly title: string;
  /** The batch waits for the signal `release`. */
  readonly isHeld?: boolean;
  readonly fails?: boolean;
}

/** Titles of each execution of a body. */
const written: string[][] = [];

@Workflow({ name: 'index', batch: { size: 4, wait: '1h' } })
class IndexWorkflow {
  async run(docs: Batch<Doc>, ctx: WorkflowContext): Promise<string[]> {
    await this.write(docs.map(({ title }) => title));
    if (docs.some(({ isHeld }) => isHeld)) await ctx.waitForSignal(release);
    if (docs.length > 1 && docs.some(({ fails }) => fails)) throw new NonRetryableError('the index is closed');
    return docs.map(({ title }) => `indexed ${title}`);
  }

  @Step()
  async write(titles: string[]): Promise<void> {
    written.push(titles);
  }
}

@Workflow({ name: 'soon', batch: { size: 1_000, wait: 200 } })
class SoonWorkflow {
  async run(numbers: Batch<number>): Promise<{ sum: number }> {
    return { sum: numbers.reduce((sum, number) => sum + number, 0) };
  }
}

@Workflow({ name: 'short', batch: { size: 2, wait: '1h' } })
class ShortWorkflow {
  async run(inputs: Batch<string>): Promise<string[]> {
    return inputs.length === 1 ? ['alone'] : ['only one'];
  }
}

@Workflow({ name: 'endless', batch: { size: 1, wait: '1h' } })
class EndlessWorkflow {
  async run(_inputs: Batch<string>, ctx: WorkflowContext): Promise<string> {
    return ctx.continueAsNew(SoonWorkflow, 1);
  }
}

@Workflow({ name: 'told', batch: { size: 2, wait: '1h' }, on: arrived })
class ToldWorkflow {
  async run(docs: Batch<Doc>, _ctx: WorkflowContext): Promise<void> {
    written.push(docs.map(({ title }) => title));
  }
}

@Workflow({ name: 'parent' })
class ParentWorkflow {
  async run(_input: void, ctx: WorkflowContext): Promise<string> {
    return ctx.invoke(IndexWorkflow, { title: 'child' });
  }
}

@Workflow({ name: 'holding' })
class HoldingWorkflow {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    await ctx.waitForSignal(release);
  }
}

const WORKFLOWS = [HoldingWorkflow, ToldWorkflow, IndexWorkflow, SoonWorkflow, ShortWorkflow, EndlessWorkflow, ParentWorkflow];

describe('batches', () => {
  let database: TestDatabase;
  let app: TestApplication;
  beforeAll(async () => {
    database = await createTestDatabase();
    app = await startApplication(database.url, WORKFLOWS, {
      ...configured(),
      queues: { single: { concurrency: 1, countSuspended: true } },
      worker: { queues: ['default', 'single'], suspendAfter: 20 },
    });
  });
  afterEach(async () => {
    written.length = 0;
    await database.query('DELETE FROM durable.workflow_runs');
    await database.query('DELETE FROM durable.workflow_shared_starts');
  });
  afterAll(async () => {
    await closeApplications();
    await database.drop();
  });

  const index = (title: string, doc: Partial<Doc> = {}, id?: string): Promise<WorkflowHandle<string>> =>
    app.client.start(IndexWorkflow, { title, ...doc }, id === undefined ? {} : { id });
  const indexAll = (titles: string, doc: Partial<Doc> = {}): Promise<WorkflowHandle<string>[]> =>
    Promise.all(titles.split('').map((title) => index(title, doc)));
  const batchOf = async (handle: WorkflowHandle<string>): Promise<string> => (await handle.describe()).batchId!;
  const statuses = (handles: WorkflowHandle<string>[]): Promise<unknown[]> => Promise.all(handles.map((handle) => handle.status()));
  const results = (handles: WorkflowHandle<string>[]): Promise<unknown[]> =>
    Promise.all(
      handles.map((handle) => handle.result().catch((error: Error) => (error.cause as Error | undefined)?.message ?? error.name)),
    );

  it('executes full batches at once, and gives each member its result by its place', async () => {
    const handles = await indexAll('abcdefgh');
    expect(await results(handles)).toEqual('abcdefgh'.split('').map((title) => `indexed ${title}`));
    expect(written).toHaveLength(2);
    expect(written).toEqual(expect.arrayContaining(['abcd'.split(''), 'efgh'.split('')]));
    expect(new Set(handles.map(({ runId }) => runId)).size).toBe(8);
    const [first, second] = await Promise.all([batchOf(handles[0]!), batchOf(handles[4]!)]);
    expect(await Promise.all(handles.map(batchOf))).toEqual([...Array(4).fill(first), ...Array(4).fill(second)]);
    expect(await app.client.describe(first)).toMatchObject({ status: 'completed', batchId: undefined, isBatch: true });
    const { runs } = await app.client.list({ name: 'index' });
    expect(runs.find(({ runId }) => runId === handles[0]!.runId)).toMatchObject({ batchId: first });
  });

  it('executes a batch that is not full after the wait, and one result is the result of all', async () => {
    const handles = await app.client.startMany(SoonWorkflow, [1, 2, 3]);
    const sums = await Promise.all(handles.map((handle) => handle.result()));
    // A stall may end the first batch before the last start.
    expect(sums.every(({ sum }) => sum >= 1 && sum <= 6)).toBe(true);
    if (new Set(await Promise.all(handles.map(async (handle) => (await handle.describe()).batchId))).size === 1)
      expect(sums).toEqual([{ sum: 6 }, { sum: 6 }, { sum: 6 }]);
  });

  it('leaves out members that were cancelled before the start, also the first one', async () => {
    const [first, second, third] = await indexAll('abc');
    await first!.cancel();
    await index('d');
    expect(await results([first!, second!, third!])).toEqual(['WorkflowCancelledError', 'indexed b', 'indexed c']);
    expect(written).toEqual([['b', 'c', 'd']]);
  });

  it('gives the place of a batch that has lost all members to the next run', async () => {
    const single = { queue: 'single' };
    // No sweep admits the next run.
    await database.query(`UPDATE durable.workflow_queues SET swept_at = 'infinity' WHERE name = 'single'`);
    const holder = await app.client.start(HoldingWorkflow, undefined, single);
    await waitFor(async () => (await holder.status()) === 'waiting');
    const members = await app.client.startMany(ShortWorkflow, ['a', 'b'], single);
    await waitFor(async () => (await app.client.describe(await batchOf(members[0]!))).waitingFor?.[0]?.kind === 'place');
    await Promise.all(members.map((member) => member.cancel()));
    const next = await app.client.start(SoonWorkflow, 7, { ...single, delay: 1 });
    await waitFor(async () => (await next.describe()).waitingFor?.[0]?.kind === 'place');
    await holder.signal(release, undefined);
    expect(await next.result()).toEqual({ sum: 7 });
  });

  it('executes the last member alone when all others were cancelled', async () => {
    const handles = await indexAll('abc');
    await Promise.all(handles.map((handle) => handle.cancel()));
    await expect((await index('d')).result()).resolves.toBe('indexed d');
    expect(written).toEqual([['d']]);
  });

  it('fails all members of a failed batch, and a retry executes each of them once', async () => {
    const handles = await indexAll('abcd', { fails: true });
    expect(await results(handles)).toEqual(Array(4).fill('the index is closed'));
    const batch = await batchOf(handles[0]!);
    await expect(app.client.retry(batch)).rejects.toMatchObject({ code: 'RUN_NOT_RETRYABLE' });
    const { token } = await app.client.bulk.retry({ filter: { name: 'index', status: 'failed' }, dryRun: true });
    await app.client.bulk.retry({ token });
    await waitFor(async () => (await app.client.bulk.status(token)).finishedAt);
    expect(await results(handles)).toEqual('abcd'.split('').map((title) => `indexed ${title}`));
    expect(written.flat().toSorted()).toEqual('aabbccdd'.split(''));
  });

  it('fails the members when run returns another number of results', async () => {
    const handles = await app.client.startMany(ShortWorkflow, ['a', 'b']);
    expect(await results(handles)).toEqual(Array(2).fill(expect.stringContaining('one element for each of the 2 inputs')));
  });

  it('ends the members with the batch when the batch is cancelled or terminated', async () => {
    const cancelled = await indexAll('abcd', { isHeld: true });
    await waitFor(() => written.length === 1);
    await app.client.cancel(await batchOf(cancelled[0]!));
    expect(await results(cancelled)).toEqual(Array(4).fill('WorkflowCancelledError'));
    const terminated = await indexAll('efgh', { isHeld: true });
    await waitFor(() => written.length === 2);
    await app.client.terminate(await batchOf(terminated[0]!), { reason: 'test' });
    expect(await statuses(terminated)).toEqual(Array(4).fill('cancelled'));
  });

  it('neither signals nor a pause and a resume take a member out of a running batch', async () => {
    const handles = await indexAll('abcd', { isHeld: true });
    await waitFor(() => written.length === 1);
    const batch = await batchOf(handles[0]!);
    await app.client.signal(handles[0]!.runId, release);
    await app.client.pause(handles[1]!.runId);
    await app.client.resume(handles[1]!.runId);
    await handles[2]!.cancel();
    expect(await statuses(handles)).toEqual(['waiting', 'waiting', 'cancelled', 'waiting']);
    await app.client.signal(batch, release);
    expect(await results(handles)).toEqual(['indexed a', 'indexed b', 'WorkflowCancelledError', 'indexed d']);
    expect(written).toEqual(['abcd'.split('')]);
  });

  it('continues the same batch with the same members in another process', async () => {
    const handles = await indexAll('abcd', { isHeld: true });
    await waitFor(() => written.length === 1);
    await app.close();
    await handles[3]!.cancel().catch(() => undefined);
    app = await startApplication(database.url, WORKFLOWS, {
      ...configured(),
      queues: { single: { concurrency: 1, countSuspended: true } },
      worker: { queues: ['default', 'single'], suspendAfter: 20 },
    });
    const again = handles.map(({ runId }) => app.client.getHandle(IndexWorkflow, runId));
    await app.client.cancel(again[2]!.runId);
    await app.client.signal(await batchOf(again[0]!), release);
    expect(await results(again.slice(0, 3))).toEqual(['indexed a', 'indexed b', 'WorkflowCancelledError']);
    expect(written).toEqual(['abcd'.split('')]);
  });

  it('collects starts by name and by events, in a process that has the class', async () => {
    const named = await Promise.all('abcd'.split('').map((title) => app.client.start('index', { title })));
    expect(await results(named as WorkflowHandle<string>[])).toEqual('abcd'.split('').map((title) => `indexed ${title}`));
    await app.client.emit(arrived, { title: 'e' });
    await app.client.emit(arrived, { title: 'f' });
    await waitFor(() => written.length === 2);
    expect(written.map((titles) => [...titles].sort().join(''))).toEqual(['abcd', 'ef']);
  });

  it('executes a run alone that is started with a time of its own, by a parent or with debounce', async () => {
    const handles = [
      (await app.client.start('index', { title: 'timeout' }, { timeout: '1h' })) as WorkflowHandle<string>,
      await app.client.start(IndexWorkflow, { title: 'delay' }, { delay: 10 }),
      await app.client.start(IndexWorkflow, { title: 'debounce' }, { debounce: { key: 'k', period: 10 } }),
      await app.client.start(ParentWorkflow),
    ] as WorkflowHandle<string>[];
    expect(await results(handles)).toEqual(['indexed timeout', 'indexed delay', 'indexed debounce', 'indexed child']);
    expect(written.map((titles) => titles.length)).toEqual([1, 1, 1, 1]);
  });

  it('does not continue as new', async () => {
    const handle = await app.client.start(EndlessWorkflow, 'x');
    expect(await results([handle])).toEqual([expect.stringContaining('continueAsNew')]);
  });

  it('refuses a timeout of one start, and a batch of a wrong size or wait', async () => {
    await expect(app.client.start(IndexWorkflow, { title: 'x' }, { timeout: 5 })).rejects.toMatchObject({ argument: 'options.timeout' });
    const make = (batch: unknown) => async (): Promise<unknown> => {
      @Workflow({ name: 'wrong', batch: batch as { size: number; wait: number } })
      class Wrong {
        async run(_inputs: Batch<string>): Promise<void> {}
      }
      return app.client.start(Wrong, 'x');
    };
    for (const size of [0, 1.5, 1_001, '4']) await expect(make({ size, wait: 10 })()).rejects.toBeInstanceOf(WorkflowConfigurationError);
    for (const wait of [9, '367 days', 'soon', undefined])
      await expect(make({ size: 4, wait })()).rejects.toBeInstanceOf(InvalidInputError);
    await expect(make(7)()).rejects.toBeInstanceOf(WorkflowConfigurationError);
    await expect(make({ size: 4, wait: 10, key: 'k' })()).rejects.toBeInstanceOf(InvalidInputError);
  });
});
