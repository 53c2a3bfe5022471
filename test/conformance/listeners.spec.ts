import { Injectable } from '@nestjs/common';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';

import {
  currentStep,
  defineSignal,
  NonRetryableError,
  OnRunEvent,
  Workflow,
  WorkflowClient,
  workflowRef,
  type AnyRunEvent,
  type RunEventOf,
  type WorkflowContext,
} from '../../src/index.js';
import { closeApplications, startApplication, type TestApplication } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { killSpawned, spawnCompiled } from '../support/processes.js';
import { waitFor } from '../support/wait.js';
import { configured } from './configured.js';

const go = defineSignal('go');
let firstStep = 'first';

@Workflow({ name: 'pays' })
class Pays {
  async run(input: { fails?: boolean }, ctx: WorkflowContext): Promise<string> {
    await ctx.step('charge', { retry: { maxAttempts: 2, initialInterval: 1 } }, () => {
      if (input.fails) throw Object.assign(new Error('no money'), { name: 'CardError', code: 'CARD_DECLINED' });
    });
    return 'paid';
  }
}

@Workflow({ name: 'ships' })
class Ships {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    await ctx.step(firstStep, () => undefined);
    await ctx.waitForSignal(go);
  }
}

@Workflow({ name: 'chains' })
class Chains {
  async run(left: number, ctx: WorkflowContext): Promise<string> {
    if (left > 0) return ctx.continueAsNew(Chains, left - 1);
    return 'last';
  }
}

type Heard = readonly [listener: string, event: AnyRunEvent];
let heard: Heard[] = [];

@Injectable()
class Ear {
  @OnRunEvent('run.completed')
  @OnRunEvent('run.failed')
  @OnRunEvent('run.cancelled')
  @OnRunEvent('run.blocked')
  @OnRunEvent('run.workerLost')
  @OnRunEvent('step.failed')
  all(event: AnyRunEvent): void {
    heard.push(['all', event]);
  }

  @OnRunEvent('run.completed', { workflow: Pays })
  byClass(event: RunEventOf<'run.completed'>): void {
    heard.push(['class', event]);
  }

  @OnRunEvent('run.completed', { workflow: 'ships' })
  async byName(event: RunEventOf<'run.completed'>): Promise<void> {
    heard.push(['name', event]);
  }

  @OnRunEvent('run.completed', { workflow: workflowRef('chains') })
  async byRef(event: RunEventOf<'run.completed'>): Promise<void> {
    heard.push(['ref', event]);
  }
}

const of = (runId: string, listener = 'all'): AnyRunEvent[] =>
  heard.filter(([name, event]) => name === listener && event.runId === runId).map(([, event]) => event);
const namesOf = (runId: string): string[] =>
  of(runId)
    .map(({ event }) => event)
    .sort();
const first = (runId: string, event: string): Promise<AnyRunEvent> =>
  waitFor(() => of(runId).find((each) => each.event === event), { message: () => `${event}, got only ${namesOf(runId).join()}` });

describe('a listener', () => {
  let database: TestDatabase;
  let app: TestApplication;
  let client: WorkflowClient;
  beforeAll(async () => {
    database = await createTestDatabase();
    // A client that executes nothing and has no listeners, as in another service.
    ({ client } = await startApplication(database.url, [], { worker: false }));
    app = await startApplication(database.url, [Pays, Ships, Chains, Ear], { ...configured(), worker: { suspendAfter: 20 } });
  });
  beforeEach(() => {
    heard = [];
    firstStep = 'first';
  });
  afterAll(async () => {
    await killSpawned();
    await closeApplications();
    await database.drop();
  });

  const rows = (runId: string): Promise<unknown[]> =>
    database.query('SELECT * FROM durable.workflow_run_events WHERE run_id = $1', [runId]);

  it('is called once when a run completes, and its event is removed', async () => {
    const handle = await app.client.start(Pays, {}, { tags: { customer: 'ann' } });
    await first(handle.runId, 'run.completed');
    await waitFor(async () => (await rows(handle.runId)).length === 0);
    const { createdAt, startedAt, finishedAt } = await handle.describe();
    expect(of(handle.runId)).toEqual([
      {
        event: 'run.completed',
        id: expect.stringMatching(/^\d+$/),
        runId: handle.runId,
        workflow: 'pays',
        version: 1,
        queue: 'default',
        generation: 0,
        status: 'completed',
        tags: { customer: 'ann' },
        occurredAt: finishedAt,
        createdAt,
        startedAt,
      },
    ]);
    expect(of(handle.runId, 'class')).toHaveLength(1);
    expect([...of(handle.runId, 'name'), ...of(handle.runId, 'ref')]).toEqual([]);
  });

  it('is called with the failed step, with the failed run, and again after a retry', async () => {
    const handle = await app.client.start(Pays, { fails: true });
    const failed = await first(handle.runId, 'run.failed');
    const error = { name: 'StepFailedError', message: 'Step "charge" failed after 2 attempts: no money', code: 'CARD_DECLINED' };
    expect(failed).toMatchObject({ status: 'failed', generation: 0, failedStep: 'charge', error });
    expect(await first(handle.runId, 'step.failed')).toMatchObject({ status: 'running', stepKey: 'charge', attempts: 2, error });
    await app.client.retry(handle.runId);
    await waitFor(() => of(handle.runId).filter(({ event, generation }) => event === 'run.failed' && generation === 1).length === 1);
    await waitFor(async () => (await rows(handle.runId)).length === 0);
    expect(namesOf(handle.runId)).toEqual(['run.failed', 'run.failed', 'step.failed', 'step.failed']);
    expect(new Set(of(handle.runId).map(({ id }) => id)).size).toBe(4);
  });

  it('is called once for a chain of continued runs', async () => {
    const { runId } = await app.client.start(Chains, 2);
    const last = await waitFor(() => heard.find(([name]) => name === 'ref'));
    expect(last[1].runId).not.toBe(runId);
    expect(heard.map(([name]) => name).sort()).toEqual(['all', 'ref']);
  });

  it('is called when a run is cancelled: by its code, or by a client that executes nothing before it began', async () => {
    const running = await app.client.start(Ships);
    const delayed = await app.client.start(Ships, undefined, { delay: '1h' });
    await waitFor(async () => (await running.status()) === 'waiting');
    await client.cancel(running.runId, { reason: 'enough' });
    await client.cancel(delayed.runId, { reason: 'never mind' });
    expect(await first(running.runId, 'run.cancelled')).toMatchObject({ status: 'cancelled', error: { code: 'WORKFLOW_CANCELLED' } });
    expect(await first(delayed.runId, 'run.cancelled')).toMatchObject({
      startedAt: undefined,
      error: { message: expect.stringContaining('never mind') },
    });
    expect([...namesOf(running.runId), ...namesOf(delayed.runId)]).toEqual(['run.cancelled', 'run.cancelled']);
  });

  it('is called when a client that executes nothing terminates a run', async () => {
    const handle = await app.client.start(Ships);
    await client.terminate(handle.runId, { reason: 'broken' });
    expect(await first(handle.runId, 'run.cancelled')).toMatchObject({ status: 'cancelled', error: { code: 'TERMINATED' } });
    expect(namesOf(handle.runId)).toEqual(['run.cancelled']);
  });

  it('is called when a run is blocked, and when its deadline passes although nobody can execute it', async () => {
    const handle = await app.client.start(Ships, undefined, { timeout: '1h' });
    await waitFor(async () => (await handle.status()) === 'waiting');
    firstStep = 'another';
    await handle.signal(go);
    expect(await first(handle.runId, 'run.blocked')).toMatchObject({ status: 'waiting', error: { code: 'NON_DETERMINISM' } });
    await database.query(`UPDATE durable.workflow_runs SET deadline_at = now() - interval '1 minute' WHERE id = $1`, [handle.runId]);
    expect(await first(handle.runId, 'run.failed')).toMatchObject({ error: { code: 'WORKFLOW_TIMEOUT' }, failedStep: undefined });
    expect(namesOf(handle.runId)).toEqual(['run.blocked', 'run.failed']);
  });

  it('is called when a worker dies, when that fails the run, and for an event whose process was killed during the call', async () => {
    const child = spawnCompiled('test/processes/listener-worker.ts', { env: { LISTENER_WORKER_URL: database.url } });
    await child.waitForLine(/^ready/);
    const quick = await client.start('elsewhere', undefined, { queue: 'elsewhere' });
    await child.waitForLine(new RegExp(`^called ${quick.runId}`));
    // The run does not wait for its listener.
    expect(await quick.status()).toBe('completed');
    const hanging = await client.start('hangs', undefined, { queue: 'elsewhere' });
    const doomed = await client.start('hangs', undefined, { queue: 'elsewhere' });
    await waitFor(() => child.stdoutLines.filter((line) => line === 'began').length === 2);
    await database.query(`UPDATE durable.workflow_runs SET exclusive_losses = 2 WHERE id = $1`, [doomed.runId]);
    await database.query(`UPDATE durable.workflow_sessions SET exclusive_run_id = $1 WHERE pid = $2`, [doomed.runId, child.child.pid]);
    child.kill('SIGKILL');
    await child.exited;

    expect(await first(hanging.runId, 'run.workerLost')).toMatchObject({ status: 'pending', losses: 1, workflow: 'hangs' });
    expect(await first(doomed.runId, 'run.workerLost')).toMatchObject({ status: 'failed' });
    expect(await first(doomed.runId, 'run.failed')).toMatchObject({ error: { name: 'WorkerLostError', code: 'WORKER_LOST' } });

    const saved: string[] = [];
    @Injectable()
    class Survivor {
      @OnRunEvent('run.completed', { workflow: 'elsewhere', name: 'survivor' })
      onCompleted({ runId }: RunEventOf<'run.completed'>): void {
        saved.push(runId);
      }
    }
    await startApplication(database.url, [Survivor], { ...configured(), worker: {} });
    // Only the dead process's time for the event keeps it from the new process.
    await database.query('UPDATE durable.workflow_run_events SET available_at = now() WHERE run_id = $1', [quick.runId]);
    await waitFor(() => saved.length > 0);
    await waitFor(async () => (await rows(quick.runId)).length === 0);
    expect(saved).toEqual([quick.runId]);
    await client.terminate(hanging.runId);
  });
});

describe('listeners of several processes', () => {
  let database: TestDatabase;
  let executing: TestApplication;
  beforeEach(async () => {
    database = await createTestDatabase();
    executing = await startApplication(database.url, [Pays], { ...configured(), worker: { sessionTtl: '2s' } });
  });
  afterEach(async () => {
    await closeApplications();
    await database.drop();
  });

  const boot = (listener: new () => object): Promise<TestApplication> =>
    startApplication(database.url, [listener], { ...configured(), worker: {} });
  const rows = (): Promise<{ attempts: number }[]> => database.query('SELECT attempts FROM durable.workflow_run_events');

  it('receive an event in one process each, also from a worker that is older than the listeners', async () => {
    const calls: { runId: string; by: object; listener: string }[] = [];
    @Injectable()
    class Replicated {
      @OnRunEvent('run.completed')
      one({ runId }: AnyRunEvent): void {
        calls.push({ runId, by: this, listener: 'one' });
      }

      @OnRunEvent('run.completed')
      two({ runId }: AnyRunEvent): void {
        calls.push({ runId, by: this, listener: 'two' });
      }
    }
    await Promise.all([boot(Replicated), boot(Replicated)]);
    // The older worker learns of the listeners with its next heartbeat.
    await waitFor(async () => {
      await executing.client.execute(Pays, {});
      return calls.length > 0;
    });
    calls.length = 0;
    const handles = await Promise.all(Array.from({ length: 30 }, () => executing.client.start(Pays, {})));
    const ids = handles.map(({ runId }) => runId).sort();
    await Promise.all(handles.map((handle) => handle.result()));
    await waitFor(async () => (await rows()).length === 0);
    for (const name of ['one', 'two']) {
      const received = calls.filter(({ listener, runId }) => listener === name && ids.includes(runId)).map(({ runId }) => runId);
      expect(received.sort()).toEqual(ids);
    }
  });

  it('are called again after an error, five times at most, while others and the run are not delayed', async () => {
    const calls: string[] = [];
    let failures = Number.POSITIVE_INFINITY;
    @Injectable()
    class Broken {
      @OnRunEvent('run.completed')
      async broken(): Promise<void> {
        calls.push('broken');
        if (calls.filter((each) => each === 'broken').length <= failures) throw new Error('the pager is down');
      }

      @OnRunEvent('run.completed')
      sound(): void {
        calls.push('sound');
      }
    }
    const count = (name: string): number => calls.filter((each) => each === name).length;
    const { client } = await boot(Broken);
    await waitFor(async () => {
      await executing.client.execute(Pays, {});
      return count('sound') > 0;
    });
    // The pauses before further attempts are passed over.
    const again = async (): Promise<boolean> => {
      await database.query(
        `UPDATE durable.workflow_run_events SET available_at = now() WHERE available_at NOT BETWEEN now() + interval '50 seconds' AND now() + interval '60 seconds'`,
      );
      return (await rows()).length === 0;
    };
    await waitFor(again, { message: () => `the last attempt, after ${count('broken')}`, timeoutMs: 30_000 });
    expect(count('broken')).toBe(5 * count('sound'));
    const sample = async (metric: string): Promise<number> =>
      Number(
        (await client.metrics())
          .split('\n')
          .find((line) => line.startsWith(metric))!
          .split(' ')[1],
      );
    expect(await sample('nestjs_durable_listener_calls_total{listener="Broken.broken",outcome="failed"}')).toBe(count('broken'));
    expect(await sample('nestjs_durable_listener_calls_total{listener="Broken.broken",outcome="completed"}')).toBe(0);
    expect(await sample('nestjs_durable_listener_calls_total{listener="Broken.sound",outcome="completed"}')).toBe(count('sound'));
    expect(await sample('nestjs_durable_listener_dropped_total{listener="Broken.broken"}')).toBe(count('sound'));
    failures = count('broken') + 1;
    const before = count('sound');
    await executing.client.execute(Pays, {});
    await waitFor(async () => count('broken') === failures + 1 && (await rows()).length === 0);
    expect(count('sound')).toBe(before + 1);
  });

  it('start one run for each event when they are durable, whose step is retried and which has no events', async () => {
    const calls: { event: AnyRunEvent; attempt: number; stepKey: string }[] = [];
    const other: string[] = [];
    @Injectable()
    class Ledger {
      @OnRunEvent('run.failed', { workflow: Pays, durable: true })
      async write(event: RunEventOf<'run.failed'>): Promise<void> {
        const { attempt, stepKey } = currentStep();
        calls.push({ event, attempt, stepKey });
        if (attempt === 1) throw new Error('the ledger is closed');
      }

      @OnRunEvent('run.failed', { name: 'other' })
      @OnRunEvent('run.completed', { name: 'other' })
      @OnRunEvent('step.failed', { name: 'other' })
      other({ workflow }: AnyRunEvent): void {
        other.push(workflow);
      }

      @OnRunEvent('run.failed', { durable: true })
      async never(): Promise<void> {
        throw new NonRetryableError('never');
      }
    }
    const app = await boot(Ledger);
    const failing = await waitFor(async () => {
      const handle = await executing.client.start(Pays, { fails: true });
      await handle.result().catch(() => undefined);
      return calls.length > 0 ? handle : undefined;
    });
    const { event } = calls[0]!;
    const { runId } = await waitFor(async () => {
      const { runs } = await app.client.list({ name: 'durable-listener:Ledger.write', tags: { runId: event.runId }, status: 'completed' });
      return runs[0];
    });
    expect(await app.client.describe(runId)).toMatchObject({ tags: { runId: event.runId, runEvent: 'run.failed' }, input: event });
    expect(calls.filter((each) => each.event.runId === event.runId)).toEqual([
      { event, attempt: 1, stepKey: 'call' },
      { event, attempt: 2, stepKey: 'call' },
    ]);
    expect(event).toMatchObject({ workflow: 'pays', error: { code: 'CARD_DECLINED' }, occurredAt: expect.any(Date) });

    // A process that dies after the start of the run leaves the event, which another one takes.
    await database.query(
      `INSERT INTO durable.workflow_run_events (run_id, id, listener, event, facts) OVERRIDING SYSTEM VALUE
       VALUES ($1, $2, 'Ledger.write run.failed pays', 'run.failed', '{"workflow":"pays","createdAt":0,"startedAt":null}')`,
      [event.runId, event.id],
    );
    await waitFor(async () => (await rows()).length === 0);
    expect(await app.client.count({ name: 'durable-listener:Ledger.write', tags: { runId: event.runId } })).toBe(1);
    await waitFor(async () => (await app.client.count({ name: 'durable-listener:Ledger.never', status: 'failed' })) > 0);
    await waitFor(() => other.length >= 2);
    expect(new Set(other)).toEqual(new Set(['pays']));
    expect(failing.runId).toBeDefined();
  });
});

describe('an application without listeners', () => {
  let database: TestDatabase;
  beforeEach(async () => {
    database = await createTestDatabase();
  });
  afterEach(async () => {
    await closeApplications();
    await database.drop();
  });

  it('executes no statement on the tables of listeners for its runs', async () => {
    const touched = async (table: string): Promise<number> => {
      const [row] = await database.query<{ touched: string }>(
        `SELECT coalesce(seq_scan, 0) + coalesce(idx_scan, 0) + n_tup_ins + n_tup_upd + n_tup_del AS touched FROM pg_stat_user_tables WHERE relname = $1`,
        [table],
      );
      return Number(row!.touched);
    };
    const inserted = async (): Promise<boolean> => {
      const [row] = await database.query<{ runs: string }>(
        `SELECT n_tup_ins AS runs FROM pg_stat_user_tables WHERE relname = 'workflow_runs'`,
      );
      return Number(row!.runs) === 50;
    };
    const app = await startApplication(database.url, [Pays, Ships], { ...configured(), worker: { sessionTtl: '1h', suspendAfter: 20 } });
    // One run after the other, so that each run needs flushes of its own.
    for (let index = 0; index < 50; index++) await app.client.execute(Pays, { fails: index % 2 === 0 }).catch(() => undefined);
    // The server shows what a connection has done once the connection is closed.
    await app.close();
    await waitFor(inserted, { message: 'the statistics of the server' });
    // The migration reads the empty table when it builds the two indexes.
    expect(await touched('workflow_run_events')).toBeLessThanOrEqual(2);
    // A session reads the empty table when it is opened and renewed. With QStash, each delivery
    // that finds no session opens one.
    expect(await touched('workflow_subscriptions')).toBeLessThanOrEqual(process.env['DURABLE_CONFORMANCE'] === 'qstash' ? 110 : 10);
  });
});
