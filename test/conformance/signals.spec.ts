import { describe, expect, it } from '@jest/globals';

import { DataSource } from 'typeorm';
import { z } from 'zod';

import { defineSignal, RunEndedError, RunNotFoundError, workflowRef } from '../../src/index.js';
import { waitFor } from '../support/wait.js';
import { useStage } from './harness.js';
import { approved, Collects, number, ping, Pinged, Waits } from './workflows.js';

describe('signals', () => {
  const stage = useStage({ suspendAfter: 50 });

  it('reach a run that waits for them', async () => {
    const handle = await stage().client.start(Waits, {});
    await handle.signal(approved, { by: 'ann' });
    expect(await handle.result()).toEqual([{ by: 'ann' }]);
  });

  it('reach a suspended run', async () => {
    const { client } = stage();
    const handle = await client.start(Waits, {});
    await waitFor(async () => (await handle.status()) === 'waiting');
    await client.signal(handle.runId, approved, { by: 'bob' });
    expect(await handle.result()).toEqual([{ by: 'bob' }]);
  });

  it('must match the schema of their definition, and reach the run as its output', async () => {
    const handle = await stage().client.start(Collects, { count: 1 });
    const checked = defineSignal('number', { schema: z.object({ n: z.coerce.number() }).transform(({ n }) => n) });
    await expect(handle.signal(checked, { n: 'many' })).rejects.toMatchObject({
      name: 'InvalidInputError',
      argument: 'payload.n',
      issues: [{ path: ['n'] }],
    });
    expect(await stage().database.query('SELECT 1 FROM durable.workflow_inbox WHERE run_id = $1', [handle.runId])).toEqual([]);
    await handle.signal(checked, { n: '7' });
    expect(await handle.result()).toEqual({ numbers: [7], timedOut: 0 });
    expect(() => defineSignal('number', { schema: {} as never })).toThrow('options.schema');
    expect(() => defineSignal('number', { scheme: 1 } as never)).toThrow('scheme');
  });

  it.each(['line#7', 'x'.repeat(241)])('are refused when their name cannot be a step key: %s', (name) => {
    expect(() => defineSignal(name)).toThrow('name of the signal');
    expect(() => workflowRef(name)).toThrow('name of the workflow');
  });

  it('are kept until the run waits for them, in the order in which they were sent', async () => {
    const handle = await stage().client.start(Collects, { count: 20 }, { delay: 100 });
    for (let n = 0; n < 20; n++) await handle.signal(number, n);
    expect(await handle.result()).toEqual({ numbers: Array.from({ length: 20 }, (_, n) => n), timedOut: 0 });
  });

  it('are delivered once per idempotency key when several callers send them at once', async () => {
    const { client } = stage();
    const handle = await client.start(Waits, { sleepFirst: 100, count: 2 });
    await Promise.all(Array.from({ length: 5 }, () => handle.signal(approved, { by: 'k1' }, { idempotencyKey: 'k1' })));
    await handle.signal(approved, { by: 'again' }, { idempotencyKey: 'k1' });
    await handle.signal(approved, { by: 'k2' }, { idempotencyKey: 'k2' });
    expect(await handle.result()).toEqual([{ by: 'k1' }, { by: 'k2' }]);
  });

  it('are delivered once per idempotency key when the run has already taken the first', async () => {
    const handle = await stage().client.start(Waits, { count: 2 });
    await handle.signal(approved, { by: 'k1' }, { idempotencyKey: 'k1' });
    await waitFor(async () => (await stage().client.steps(handle.runId)).length === 1);
    await handle.signal(approved, { by: 'k1 again' }, { idempotencyKey: 'k1' });
    await handle.signal(approved, { by: 'other' });
    expect(await handle.result()).toEqual([{ by: 'k1' }, { by: 'other' }]);
  });

  it('leave null when they do not come before the timeout', async () => {
    expect(await stage().client.execute(Waits, { timeout: 20 })).toEqual([null]);
  });

  it('leave null when they do not come before the timeout of a suspended run', async () => {
    expect(await stage().client.execute(Waits, { timeout: 300 })).toEqual([null]);
  });

  it('are delivered as true when they have no payload', async () => {
    const handle = await stage().client.start(Pinged);
    await handle.signal(ping);
    expect(await handle.result()).toBe(true);
  });

  it('are refused for a run that has ended or is missing', async () => {
    const { client } = stage();
    const handle = await client.start(Waits, { timeout: 1 });
    await handle.result();
    await expect(handle.signal(approved, { by: 'late' })).rejects.toBeInstanceOf(RunEndedError);
    await expect(client.signal('nobody', approved, { by: 'x' })).rejects.toBeInstanceOf(RunNotFoundError);
  });

  it('are delivered when the transaction of their caller commits, and not when it rolls back', async () => {
    const { client, database } = stage();
    const dataSource = await new DataSource({ type: 'postgres', url: database.url, poolSize: 2 }).initialize();
    try {
      const handle = await client.start(Waits, { count: 1 });
      const rolledBack = dataSource.transaction(async (manager) => {
        await handle.signal(approved, { by: 'never' }, { manager });
        throw new Error('on purpose');
      });
      await expect(rolledBack).rejects.toThrow('on purpose');
      await dataSource.transaction((manager) => handle.signal(approved, { by: 'committed' }, { manager }));
      expect(await handle.result()).toEqual([{ by: 'committed' }]);
    } finally {
      await dataSource.destroy();
    }
  });
});
