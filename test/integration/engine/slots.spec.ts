import { setTimeout as sleep } from 'node:timers/promises';

import { Scope } from '@nestjs/common';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';

import { Workflow, type WorkflowContext } from '../../../src/index.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { seconds, waitFor } from '../../support/wait.js';

/** Bodies that have begun, as `run/step`, and the gates that let them end. */
const begun: string[] = [];
const gates = new Set<string>();
let active = 0;
let mostActive = 0;

async function body(name: string): Promise<void> {
  begun.push(name);
  active++;
  mostActive = Math.max(mostActive, active);
  while (!gates.has(name) && !gates.has('all')) await sleep(5);
  active--;
}

@Workflow({ name: 'two-bodies' })
class TwoBodies {
  async run(name: string, ctx: WorkflowContext): Promise<void> {
    await ctx.step('first', () => body(`${name}/first`));
    await ctx.step('second', () => body(`${name}/second`));
  }
}

@Workflow({ name: 'quick-steps' })
class QuickSteps {
  async run(steps: number, ctx: WorkflowContext): Promise<void> {
    for (let step = 0; step < steps; step++) await ctx.step('quick', () => step);
  }
}

@Workflow({ name: 'plain-io' })
class PlainIo {
  async run(name: string): Promise<void> {
    await body(name);
  }
}

@Workflow({ name: 'io-before' })
class IoBefore {
  async run(name: string, ctx: WorkflowContext): Promise<void> {
    await sleep(20);
    await ctx.step('first', () => body(`${name}/first`));
  }
}

@Workflow({ name: 'own-instances', scope: Scope.REQUEST })
class OwnInstances extends TwoBodies {}

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  return client;
}

const WORKFLOWS = [TwoBodies, QuickSteps, PlainIo, IoBefore, OwnInstances];

describe('the slots of a worker', () => {
  let database: TestDatabase;
  beforeEach(async () => {
    database = await createTestDatabase();
    begun.length = 0;
    gates.clear();
    mostActive = 0;
  });
  afterEach(async () => {
    gates.add('all');
    await closeApplications();
    await database.drop();
  });

  it.each([true, false])('limit how many bodies are executed at a time (eagerStart: %s)', async (eagerStart) => {
    const { client } = await startApplication(database.url, WORKFLOWS, { worker: { concurrency: 2, eagerStart } });
    const handles = await client.startMany(TwoBodies, ['a', 'b', 'c', 'd', 'e', 'f']);
    await waitFor(() => active === 2, { message: 'two bodies' });
    gates.add('all');
    await Promise.all(handles.map((handle) => handle.result()));
    expect(mostActive).toBe(2);
    expect(begun).toHaveLength(12);
  });

  it('hold no run back while results are being written, once bodies have proved short', async () => {
    const { client } = await startApplication(database.url, WORKFLOWS, { worker: { concurrency: 1, eagerStart: false } });
    await client.execute(QuickSteps, 50);
    const blocker = await connect(database.url);
    try {
      await blocker.query('BEGIN; LOCK TABLE durable.workflow_steps IN SHARE MODE');
      const handles = await client.startMany(
        QuickSteps,
        Array.from({ length: 5 }, () => 1),
      );
      // One slot, and the results of none of these runs can be written.
      await waitFor(async () => (await client.health()).worker.runs === 5, { message: 'five runs in this process' });
      await blocker.query('COMMIT');
      await Promise.all(handles.map((handle) => handle.result()));
    } finally {
      await blocker.end();
    }
  });

  it('admit no more runs than there are slots while bodies are long', async () => {
    const { client } = await startApplication(database.url, WORKFLOWS, { worker: { concurrency: 2, eagerStart: false } });
    const handles = await client.startMany(TwoBodies, ['a', 'b', 'c', 'd']);
    await waitFor(() => active === 2, { message: 'two bodies' });
    await sleep(300);
    expect((await client.health()).worker).toMatchObject({ runs: 2, freeSlots: 0 });
    gates.add('all');
    await Promise.all(handles.map((handle) => handle.result()));
  });

  it('are given to a run that became due while none was free, without waiting for the next poll', async () => {
    const worker = { concurrency: 1, pollInterval: '1m', maxPollInterval: '1m' } as const;
    const { client } = await startApplication(database.url, WORKFLOWS, { worker });
    const first = await client.start(TwoBodies, 'a');
    await waitFor(() => begun.includes('a/first'), { message: 'the first body' });
    const second = await client.start(TwoBodies, 'b');
    gates.add('all');
    await Promise.all([first, second].map((handle) => handle.result({ timeout: seconds(30) })));
  });

  it('are held by a run that awaits I/O outside of steps', async () => {
    const { client } = await startApplication(database.url, WORKFLOWS, { worker: { concurrency: 1 } });
    const handle = await client.start(PlainIo, 'io');
    await waitFor(async () => (await client.health()).worker.freeSlots === 0, { message: 'the slot to be taken' });
    gates.add('all');
    await handle.result();
    expect((await client.health()).worker.freeSlots).toBe(1);
  });

  it('go to the next step of a run before they go to a run that begins', async () => {
    const { client } = await startApplication(database.url, WORKFLOWS, { worker: { concurrency: 1, eagerStart: false } });
    await client.execute(QuickSteps, 50);
    const blocker = await connect(database.url);
    try {
      const halfDone = await client.start(TwoBodies, 'half done');
      await waitFor(() => begun.includes('half done/first'), { message: 'the first body' });
      await blocker.query('BEGIN; LOCK TABLE durable.workflow_steps IN SHARE MODE');
      gates.add('half done/first');
      // The slot is free while the result of the first body cannot be written.
      const other = await client.start(TwoBodies, 'other');
      await waitFor(() => begun.includes('other/first'), { message: 'the body of the other run' });
      await blocker.query('COMMIT');
      await waitFor(async () => (await client.steps(halfDone.runId)).length === 1, { message: 'the first result' });
      const third = await client.start(TwoBodies, 'third');
      gates.add('other/first');
      await waitFor(() => begun.length === 3, { message: 'the third body' });
      expect(begun[2]).toBe('half done/second');
      gates.add('all');
      await Promise.all([halfDone, other, third].map((handle) => handle.result()));
      expect(new Set(begun).size).toBe(begun.length);
    } finally {
      await blocker.end();
    }
  });

  it('are left to other workers by a run that has waited a second for its first one', async () => {
    const { client } = await startApplication(database.url, WORKFLOWS, { worker: { concurrency: 1, eagerStart: false } });
    await client.execute(QuickSteps, 50);
    const names = ['a', 'b', 'c'];
    const handles = await client.startMany(TwoBodies, names);
    await waitFor(async () => (await client.health()).worker.runs === 3, { message: 'three runs in this process' });
    await waitFor(async () => (await client.count({ name: 'two-bodies', status: 'pending' })) === 2, { message: 'two runs to be pending' });
    expect(begun).toHaveLength(1);
    // The runs keep their places in the order of claims.
    const late = await database.query(`SELECT id FROM durable.workflow_runs WHERE ready_at > created_at + interval '500 milliseconds'`);
    expect(late).toEqual([]);
    gates.add('all');
    await Promise.all(handles.map((handle) => handle.result()));
    expect(begun.toSorted()).toEqual(names.flatMap((name) => [`${name}/first`, `${name}/second`]));
  });

  it.each(['two-bodies', 'own-instances'])('limit the bodies of runs that read messages before they begin (%s)', async (name) => {
    const { client } = await startApplication(database.url, WORKFLOWS, { worker: { concurrency: 1, eagerStart: false } });
    await client.execute(QuickSteps, 50);
    const names = ['a', 'b', 'c', 'd', 'e'];
    const handles = await Promise.all(names.map((input) => client.start(name, input, { delay: 500 })));
    await database.query('UPDATE durable.workflow_runs SET wake_count = 1 WHERE finished_at IS NULL');
    await waitFor(() => begun.length === 1, { message: 'the first body' });
    await sleep(300);
    expect(active).toBe(1);
    gates.add('all');
    await Promise.all(handles.map((handle) => handle.result()));
    expect(mostActive).toBe(1);
    expect(begun).toHaveLength(2 * names.length);
  });

  it('are given to runs whose instances wait for one while their messages are read', async () => {
    const { client } = await startApplication(database.url, WORKFLOWS, { worker: { concurrency: 1, eagerStart: false } });
    await client.execute(QuickSteps, 500);
    const handles = await Promise.all(['a', 'b', 'c'].map((input) => client.start(OwnInstances, input, { delay: 100 })));
    await database.query('UPDATE durable.workflow_runs SET wake_count = 1 WHERE finished_at IS NULL');
    const holder = await client.start(TwoBodies, 'holder');
    // On a slow machine the worker may admit fewer runs at a time.
    await waitFor(() => begun.length > 0, { message: 'the first body' });
    await sleep(300);
    gates.add('all');
    await Promise.all([holder, ...handles].map((handle) => handle.result({ timeout: seconds(30) })));
    expect((await client.health()).worker).toMatchObject({ runs: 0, freeSlots: 1 });
  });

  it('limit the bodies of runs that await I/O outside of steps before', async () => {
    const { client } = await startApplication(database.url, WORKFLOWS, { worker: { concurrency: 1, eagerStart: false } });
    await client.execute(QuickSteps, 50);
    const handles = await client.startMany(IoBefore, ['a', 'b', 'c', 'd']);
    await waitFor(() => begun.length > 0, { message: 'a body' });
    await sleep(100);
    expect(active).toBe(1);
    gates.add('all');
    await Promise.all(handles.map((handle) => handle.result()));
    expect(mostActive).toBe(1);
  });

  it('are given to no queued run when the session is lost', async () => {
    const { client } = await startApplication(database.url, WORKFLOWS, { worker: { concurrency: 1, eagerStart: false, sessionTtl: '2s' } });
    await client.execute(QuickSteps, 50);
    const handles = await client.startMany(TwoBodies, ['a', 'b', 'c']);
    await waitFor(async () => (await client.health()).worker.runs === 3, { message: 'three runs in this process' });
    await waitFor(() => active === 1, { message: 'one body' });
    const [session] = await database.query<{ id: string }>('DELETE FROM durable.workflow_sessions RETURNING id::text');
    await waitFor(async () => (await client.health()).sessions.some(({ id }) => id !== session!.id), { message: 'a new session' });
    // Nobody has handed the runs back yet, so only a body that begins too early could be here.
    expect(begun).toHaveLength(1);
    gates.add('all');
    await Promise.all(handles.map((handle) => handle.result()));
  });
});
