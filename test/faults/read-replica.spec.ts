import type { LoggerService } from '@nestjs/common';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';

import { currentStep, Workflow, WorkflowClient, WorkflowModule, type ReplicaHealth, type WorkflowContext } from '../../src/index.js';
import { bootApplication, closeApplications } from '../support/application.js';
import { createTestDatabase } from '../support/database.js';
import { FaultProxy } from '../support/faults/proxy.js';
import { ServerPair } from '../support/faults/server-pair.js';
import { PATIENCE, waitFor } from '../support/wait.js';

@Workflow({ name: 'greet' })
class GreetWorkflow {
  async run(name: string, ctx: WorkflowContext): Promise<string> {
    return ctx.step('greet', () => {
      if (name === 'nobody') throw new Error('nobody is there');
      return `hello ${name}`;
    });
  }
}

@Workflow({ name: 'write' })
class WriteWorkflow {
  async run(chunks: number, ctx: WorkflowContext): Promise<void> {
    await ctx.step('write', async () => {
      const stream = currentStep().stream<number>('numbers');
      for (let index = 0; index < chunks; index++) await stream.write(index);
    });
  }
}

class Lines implements LoggerService {
  readonly all: string[] = [];
  log = (line: unknown): void => void this.all.push(`log ${String(line)}`);
  warn = (line: unknown): void => void this.all.push(`warn ${String(line)}`);
  error = (line: unknown): void => void this.all.push(`error ${String(line)}`);
  about(what: string): string[] {
    return this.all.filter((line) => line.includes(what));
  }
}

describe('a read replica', () => {
  let pair: ServerPair;
  /** Address of the standby, which can fail. */
  let address: FaultProxy;
  let lines: Lines;

  beforeAll(async () => {
    pair = await ServerPair.start('asynchronous');
    address = await FaultProxy.start(pair.standby.url);
  });
  beforeEach(() => {
    lines = new Lines();
  });
  afterEach(closeApplications);
  afterAll(async () => {
    await address.stop();
    await pair.stop();
  });

  const boot = async (replica: string): Promise<WorkflowClient> => {
    const options = {
      connection: { url: pair.primary.url },
      readReplica: { url: replica },
      worker: {},
      defaults: { retry: { maxAttempts: 1 } },
    };
    const module = await bootApplication({ imports: [WorkflowModule.forRoot(options)], providers: [GreetWorkflow, WriteWorkflow] }, lines);
    return module.get(WorkflowClient);
  };
  const state = async (client: WorkflowClient): Promise<ReplicaHealth> => (await client.health()).readReplica!;
  const inUse = (client: WorkflowClient): Promise<unknown> =>
    waitFor(async () => (await state(client)).isInUse, { timeoutMs: 60_000, message: 'the replica to be in use' });
  /** The state of the replica when it has caught up. The primary may write more at any time. */
  const caughtUp = (client: WorkflowClient): Promise<ReplicaHealth> =>
    waitFor(
      async () => {
        const replica = await state(client);
        return replica.isInUse && replica.lagBytes === 0 ? replica : undefined;
      },
      { message: 'the replica to catch up' },
    );
  /**
   * Waits until a query has the answer of the replica. On a loaded machine a check may take too
   * long, and the primary answers for a while.
   */
  const onReplica = (check: () => Promise<void>): Promise<boolean> => waitFor(() => check().then(() => true), { timeoutMs: 60_000 });

  it('answers list, count, failures, history, describe and steps, which lag, while everything else uses the primary', async () => {
    const client = await boot(address.url);
    await inUse(client);
    await client.execute(GreetWorkflow, 'you', { id: 'first' });
    await expect(client.execute(GreetWorkflow, 'nobody', { id: 'failed' })).rejects.toThrow();
    expect(await caughtUp(client)).toEqual({ isInUse: true, lagBytes: 0, lagMs: 0 });

    await pair.standby.query('SELECT pg_wal_replay_pause()');
    try {
      await client.execute(GreetWorkflow, 'them', { id: 'second' });
      await expect(client.execute(GreetWorkflow, 'nobody', { id: 'failed too' })).rejects.toThrow();
      expect(await client.status('second')).toBe('completed');
      expect(await client.getHandle(GreetWorkflow, 'second').result()).toBe('hello them');

      const query = { since: '1 hour', groupBy: 'workflow' } as const;
      await onReplica(async () => expect((await client.list()).runs.map(({ runId }) => runId)).toEqual(['failed', 'first']));
      await onReplica(async () => expect(await client.count({ status: 'completed' })).toBe(1));
      await onReplica(async () => expect(await client.failures(query)).toMatchObject([{ count: 1 }]));
      // An update after the pause is not seen, because the replica has the runs of before.
      await pair.primary.query(`UPDATE durable.workflow_runs SET priority = 7 WHERE id = 'first'`);
      const before = { status: 'completed', priority: 0, output: 'hello you' };
      await onReplica(async () => expect(await client.describe('first')).toMatchObject(before));
      await pair.primary.query(`DELETE FROM durable.workflow_steps WHERE run_id = 'first'`);
      await onReplica(async () => expect(await client.steps('first')).toHaveLength(1));
      const kinds = async (): Promise<string[]> => (await client.history('first')).entries.map(({ kind }) => kind);
      await onReplica(async () => expect(await kinds()).toContain('step_completed'));

      // The replica does not have these runs yet.
      expect(await client.describe('second')).toMatchObject({ status: 'completed' });
      expect(await client.steps('second')).toHaveLength(1);
      expect((await client.history('second')).entries.length).toBeGreaterThan(1);
      await expect(client.describe('absent')).rejects.toThrow('absent');

      const behind = await state(client);
      expect(behind).toMatchObject({ isInUse: true });
      if (behind.isInUse) {
        expect(behind.lagBytes).toBeGreaterThan(0);
        expect(behind.lagMs).toBeGreaterThan(0);
      }
    } finally {
      await pair.standby.query('SELECT pg_wal_replay_resume()');
    }
    await caughtUp(client);
    expect(await client.count()).toBe(4);
    expect(lines.about('replica-refused')).toEqual([]);
  });

  it('answers with the old chunks of a stream, and the primary with the last ones', async () => {
    const client = await boot(address.url);
    await inUse(client);
    const handle = await client.start(WriteWorkflow, 1_000, { id: 'writes' });
    await handle.result();
    await caughtUp(client);
    await pair.standby.query('SELECT pg_wal_replay_pause()');
    try {
      // Only the replica has the old chunks now, and only the primary the last one.
      await pair.primary.query(`DELETE FROM durable.workflow_stream_chunks WHERE run_id = 'writes' AND seq <= 600`);
      await pair.primary.query(`UPDATE durable.workflow_stream_chunks SET data = '-1' WHERE run_id = 'writes' AND seq = 1000`);
      await onReplica(async () => {
        const read: number[] = [];
        for await (const value of handle.stream<number>('numbers')) read.push(value);
        expect(read).toEqual([...Array.from({ length: 999 }, (_, index) => index), -1]);
      });
      expect(await client.streams('writes')).toMatchObject([{ name: 'numbers', length: 1_000 }]);
    } finally {
      await pair.standby.query('SELECT pg_wal_replay_resume()');
    }
    await client.delete('writes');
  });

  it('is replaced by the primary while it is away, is tried rarely, and is used again when it is back', async () => {
    const client = await boot(address.url);
    await inUse(client);
    address.refuse();
    const { attempts } = address;
    const earlier = lines.about('replica:').length;
    const since = performance.now();
    // Many callers at once, and callers after them.
    const counts = await Promise.all(Array.from({ length: 50 }, () => client.count()));
    for (let calls = 0; calls < 50; calls++) counts.push(await client.count());
    expect(new Set(counts)).toEqual(new Set([4]));
    expect(performance.now() - since).toBeLessThan(10_000 * PATIENCE);
    await waitFor(() => lines.about('replica-unavailable').length > 0);
    expect(await state(client)).toEqual({ isInUse: false, error: expect.any(Error) });
    // The first pause is 0.75 s or longer. The pool may have tried to replace both connections.
    expect(address.attempts - attempts).toBeLessThanOrEqual(5 + (performance.now() - since) / 500);

    address.restore();
    await inUse(client);
    expect(lines.about('replica:').slice(earlier, earlier + 2)).toEqual([
      expect.stringMatching(/^warn replica: unavailable; queries go to the primary until it answers: .* \[replica-unavailable\]$/),
      'log replica: answers again',
    ]);
  });

  it('that has stopped answering does not block a query for long', async () => {
    const client = await boot(address.url);
    await inUse(client);
    await client.count();
    address.silence();
    try {
      const since = performance.now();
      expect(await client.count()).toBe(4);
      expect(performance.now() - since).toBeLessThan(10_000 * PATIENCE);
      const again = performance.now();
      expect(await client.count()).toBe(4);
      expect(performance.now() - again).toBeLessThan(1_000 * PATIENCE);
    } finally {
      address.restore();
    }
    await inUse(client);
  });

  it('of another cluster is refused with a warning', async () => {
    const other = await createTestDatabase();
    const client = await boot(other.url);
    await waitFor(() => lines.about('replica-refused').length > 0);
    expect(lines.about('replica-refused')[0]).toContain('another cluster');
    expect(await client.count()).toBe(4);
    expect(await state(client)).toMatchObject({ isInUse: false, error: { name: 'ReplicaRefusedError' } });
    await closeApplications();
    await other.drop();
  });

  it('that was promoted while it was away is refused with a warning, although it belongs to the same cluster', async () => {
    const client = await boot(address.url);
    await inUse(client);
    address.refuse();
    await waitFor(async () => (await client.count(), lines.about('replica-unavailable').length > 0));
    await pair.standby.query('SELECT pg_promote(true, 20)');
    await pair.standby.query(`DELETE FROM durable.workflow_runs`);
    address.restore();
    await waitFor(async () => (await state(client), lines.about('replica-refused').length > 0), { message: 'the warning' });
    expect(lines.about('replica-refused')[0]).toContain('takes writes of its own');
    expect(await client.count()).toBe(4);
  });
});
