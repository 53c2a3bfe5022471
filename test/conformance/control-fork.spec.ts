import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';

import { RunNotFoundError, Workflow, type WorkflowContext } from '../../src/index.js';
import { startApplication, type TestApplication } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';

let log: string[] = [];

@Workflow({ name: 'drawn' })
class Drawn {
  async run(input: { n: number }, ctx: WorkflowContext): Promise<unknown[]> {
    const key = ctx.uuid();
    const at = ctx.now();
    const first = await ctx.step('first', { key }, () => void log.push('first'));
    ctx.setState('phase', 'second');
    const second = await ctx.step('second', () => {
      log.push('second');
      return ctx.runId;
    });
    return [input.n, key, at, first, second, await ctx.step('third', () => void log.push('third'))];
  }
}

describe('a fork', () => {
  let app: TestApplication;
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
    app = await startApplication(database.url, [Drawn], { worker: { suspendAfter: 20 } });
  });
  beforeEach(() => {
    log = [];
  });
  afterAll(async () => {
    await app.close();
    await database.drop();
  });

  it('continues from a step of another run with the history and the random values of that run', async () => {
    const source = await app.client.start(Drawn, { n: 7 }, { tags: { customer: '7' }, priority: 3 });
    const result = await source.result();
    log = [];
    const fork = await app.client.fork(source.runId, { fromStep: 'second', actor: 'ann', reason: 'look again' });
    expect(fork.runId).not.toBe(source.runId);
    const forked = [...result];
    forked[4] = fork.runId;
    expect(await fork.result()).toEqual(forked);
    expect(log).toEqual(['second', 'third']);
    expect(await fork.describe()).toMatchObject({ tags: { customer: '7' }, priority: 3, generation: 0 });
    const [row] = await database.query('SELECT forked_from FROM durable.workflow_runs WHERE id = $1', [fork.runId]);
    expect(row).toEqual({ forked_from: source.runId });
    expect(await source.result()).toEqual(result);
    const events = await database.query('SELECT kind, data FROM durable.workflow_run_log WHERE run_id = ANY ($1) ORDER BY id', [
      [source.runId, fork.runId],
    ]);
    expect(events).toEqual([
      { kind: 'forked', data: { actor: 'ann', reason: 'look again', to: fork.runId } },
      { kind: 'forked', data: { actor: 'ann', reason: 'look again', from: source.runId } },
    ]);
    const again = await app.client.fork(fork.runId, { fromStep: 'third' });
    expect(await again.result()).toEqual(forked);
    expect(log).toEqual(['second', 'third', 'third']);
  });

  it('begins with an empty history when no step is given', async () => {
    const source = await app.client.start(Drawn, { n: 8 });
    const result = await source.result();
    const fork = await app.client.fork(source.runId);
    const forked = (await fork.result()) as unknown[];
    expect(forked[0]).toBe(8);
    expect(forked[1]).not.toBe(result[1]);
    expect(log).toEqual(['first', 'second', 'third', 'first', 'second', 'third']);
  });

  it('is refused, and writes nothing, for a missing run or step', async () => {
    const source = await app.client.start(Drawn, { n: 9 });
    await source.result();
    const before = await app.client.count();
    await expect(app.client.fork('nobody')).rejects.toBeInstanceOf(RunNotFoundError);
    await expect(app.client.fork(source.runId, { fromStep: 'fourth' })).rejects.toMatchObject({ argument: 'options.fromStep' });
    expect(await app.client.count()).toBe(before);
  });
});
