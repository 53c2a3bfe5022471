import { hostname } from 'node:os';

import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { Workflow, defineSignal, type WaitingFor, type WorkflowClient, type WorkflowContext } from '../../../src/index.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { seconds, waitFor } from '../../support/wait.js';

const go = defineSignal('go');
let answer: (() => void) | undefined;

@Workflow({ name: 'patient' })
class PatientWorkflow {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    await ctx.waitForSignal(go);
  }
}

@Workflow({ name: 'sleepy' })
class SleepyWorkflow {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    await ctx.sleep('1 day');
  }
}

@Workflow({ name: 'calling' })
class CallingWorkflow {
  async run(): Promise<void> {
    await new Promise<void>((resolve) => (answer = resolve));
  }
}

describe('describe().waitingFor', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(closeApplications);
  afterAll(() => database.drop());

  const worker = { suspendAfter: 10 };
  const providers = [PatientWorkflow, SleepyWorkflow, CallingWorkflow];
  const waitsOf = async (client: WorkflowClient, id: string): Promise<WaitingFor[]> => (await client.describe(id)).waitingFor;
  const suspended = (client: WorkflowClient, id: string): Promise<unknown> =>
    waitFor(async () => (await client.status(id)) === 'waiting' && (await client.describe(id)).epoch > 0);

  it('names the start of a delayed run', async () => {
    const { client } = await startApplication(database.url, providers, { worker });
    const startAt = new Date(Date.now() + 3_600_000);
    await client.start(PatientWorkflow, undefined, { id: 'delayed', startAt });
    expect(await waitsOf(client, 'delayed')).toEqual([
      { kind: 'start', name: 'patient', since: expect.any(Date), until: startAt, text: `for its start at ${startAt.toISOString()}` },
    ]);
    await client.terminate('delayed');
  });

  it('names who has paused a run, and since when, beside its waits and beside a block', async () => {
    const { client } = await startApplication(database.url, providers, { worker });
    await client.start(PatientWorkflow, undefined, { id: 'paused' });
    await suspended(client, 'paused');
    await client.pause('paused', { actor: 'ann', reason: 'audit' });
    const [resume, signal] = await waitsOf(client, 'paused');
    expect(resume).toEqual({ kind: 'resume', name: 'ann', since: expect.any(Date), text: expect.any(String) });
    expect(resume!.text).toBe(`for somebody to resume it: "ann" has paused it since ${resume!.since!.toISOString()}`);
    expect(Math.abs(resume!.since!.getTime() - Date.now())).toBeLessThan(60_000);
    expect(signal).toMatchObject({ kind: 'signal', name: 'go', text: 'for signal "go"' });

    await database.query(
      `UPDATE durable.workflow_runs SET is_blocked = true, blocked_deployments = ARRAY['a', 'b', 'c', 'd', 'e', 'f'] WHERE id = 'paused'`,
    );
    const both = await waitsOf(client, 'paused');
    expect(both.map(({ kind }) => kind)).toEqual(['resume', 'deployment', 'signal']);
    expect(both[1]).toMatchObject({ name: 'f' });
    expect(both[1]!.text).toContain('the code of deployments "b", "c", "d", "e", "f" and 1 earlier ones does not fit');
    await client.terminate('paused');
  });

  it('says that nobody wakes a run whose time has come', async () => {
    const executing = await startApplication(database.url, providers, { worker });
    await executing.client.start(SleepyWorkflow, undefined, { id: 'asleep' });
    await suspended(executing.client, 'asleep');
    expect((await waitsOf(executing.client, 'asleep')).map(({ kind }) => kind)).toEqual(['sleep']);
    await executing.close();

    const { client } = await startApplication(database.url, [], { worker: false });
    expect((await waitsOf(client, 'asleep')).map(({ kind }) => kind)).toEqual(['sleep']);
    await database.query(`UPDATE durable.workflow_runs SET wake_at = now() - interval '1 minute' WHERE id = 'asleep'`);
    const [nobody, sleep] = await waitsOf(client, 'asleep');
    expect(nobody).toEqual({
      kind: 'worker',
      name: 'sleepy',
      queue: 'default',
      since: expect.any(Date),
      text: 'for a process that executes it, because its time has come: "sleepy" version 1 in queue "default": no worker is alive',
    });
    expect(sleep).toMatchObject({ kind: 'sleep' });
    await client.terminate('asleep');
  });

  it('shows that the code of a run awaits something that is not a step', async () => {
    const { client } = await startApplication(database.url, providers, { worker });
    const { runId } = await client.start(CallingWorkflow);
    await waitFor(() => answer);
    const [code, ...others] = await waitsOf(client, runId);
    expect(code).toMatchObject({ kind: 'code', name: 'calling' });
    expect(code!.text).toContain(`which host "${hostname()}", process ${process.pid} executes`);
    expect(others).toEqual([]);
    answer!();
    await client.getHandle(runId).result({ timeout: seconds(10) });
    expect(await waitsOf(client, runId)).toEqual([]);
  });

  it('says that the worker of a run sends no heartbeat, or is gone', async () => {
    const { client } = await startApplication(database.url, [], { worker: false });
    await client.start('patient', undefined, { id: 'lost' });
    const [session] = await database.query<{ id: string }>(
      `INSERT INTO durable.workflow_sessions (kind, host, pid, deployment_id, expires_at, holds_lock)
       VALUES ('worker', 'node-7', 42, 'old', now() - interval '1 s', false) RETURNING id`,
    );
    await database.query(
      `UPDATE durable.workflow_runs SET status = 'running', version = 1, session_id = $1, epoch = 1, started_at = now(), ready_at = NULL WHERE id = 'lost'`,
      [session!.id],
    );
    const what = { kind: 'worker', name: 'patient', queue: 'default' };
    expect(await waitsOf(client, 'lost')).toEqual([
      { ...what, text: 'for its worker (host "node-7", process 42), which sends no heartbeat, or for another one to take the run over' },
    ]);
    await database.query('DELETE FROM durable.workflow_sessions');
    expect(await waitsOf(client, 'lost')).toEqual([{ ...what, text: 'for a worker to take it over: the one that executed it is gone' }]);
    await client.terminate('lost');
  });
});
