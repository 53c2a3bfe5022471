import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';

import { currentStep, defineSignal, Workflow, WorkflowFailedError, type WorkflowContext } from '../../src/index.js';
import { QStashEmulator } from '../../src/testing/index.js';
import { closeApplications } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { startPushed, type PushedApplication } from '../support/pushed-application.js';
import { slowApi } from '../support/slow-api.js';
import { seconds, waitFor } from '../support/wait.js';
import { Lines } from './requests.js';

const go = defineSignal<number>('go');
const IDLE_MS = process.env['DURABLE_CHAOS'] ? 65_000 : 2_500;

@Workflow({ name: 'eight steps' })
class EightSteps {
  async run(ms: number, ctx: WorkflowContext): Promise<number> {
    let sum = 0;
    for (let n = 1; n <= 4; n++) sum += await ctx.step('add', () => n);
    await ctx.sleep(ms);
    for (let n = 5; n <= 8; n++) sum += await ctx.step('add', () => n);
    return sum;
  }
}

let open: (() => void) | undefined;

@Workflow({ name: 'doors' })
class Doors {
  async run(_input: void, ctx: WorkflowContext): Promise<string> {
    await ctx.step('first', () => 1);
    await ctx.step('second', () => new Promise<void>((resolve) => (open = resolve)));
    await ctx.step('third', () => 3);
    return 'through';
  }
}

@Workflow({ name: 'waits' })
class Waits {
  async run(_input: void, ctx: WorkflowContext): Promise<number> {
    return ctx.waitForSignal(go);
  }
}

@Workflow({ name: 'child' })
class Child {
  async run(n: number, ctx: WorkflowContext): Promise<number> {
    return ctx.step('double', () => n * 2);
  }
}

@Workflow({ name: 'parent' })
class Parent {
  async run(n: number, ctx: WorkflowContext): Promise<number[]> {
    return ctx.invokeMany(
      Child,
      Array.from({ length: n }, (_, index) => index),
      { maxInFlight: 3 },
    );
  }
}

@Workflow({ name: 'slow child' })
class SlowChild {
  async run(_input: void, ctx: WorkflowContext): Promise<number> {
    return ctx.step('work', async () => {
      await sleep(500);
      return 1;
    });
  }
}

@Workflow({ name: 'slow parent' })
class SlowParent {
  async run(_input: void, ctx: WorkflowContext): Promise<number> {
    return ctx.invoke(SlowChild);
  }
}

let executed: string[] = [];

@Workflow({ name: 'long' })
class Long {
  async run(steps: number, ctx: WorkflowContext): Promise<number> {
    for (let n = 0; n < steps; n++) {
      await ctx.step('work', async () => {
        executed.push(currentStep().stepKey);
        await sleep(30);
      });
    }
    return steps;
  }
}

jest.setTimeout(IDLE_MS + seconds(120));

describe('an application that QStash drives', () => {
  let database: TestDatabase;
  let pushed: PushedApplication;
  beforeAll(async () => {
    database = await createTestDatabase();
    pushed = await startPushed(database.url, [EightSteps, Waits, Child, Parent, Long]);
  });
  afterEach(() => pushed.qstash.clear());
  afterAll(async () => {
    await closeApplications();
    await database.drop();
  });

  const sessions = () => database.query('SELECT id FROM durable.workflow_sessions');

  it('executes a run with a sleep in two messages, and has no session between them', async () => {
    const handle = await pushed.client.start(EightSteps, 1_500);
    await waitFor(async () => (await handle.status()) === 'waiting');
    await waitFor(async () => (await sessions()).length === 0);
    expect(await handle.result({ timeout: seconds(20) })).toBe(36);
    expect(pushed.qstash.stats().published).toBe(2);
    await waitFor(async () => (await sessions()).length === 0);
  });

  it('ends a short sleep in time without a third message', async () => {
    const handles = await pushed.client.startMany(
      EightSteps,
      Array.from({ length: 8 }, () => 450),
    );
    expect(await Promise.all(handles.map((handle) => handle.result({ timeout: seconds(5) })))).toEqual(handles.map(() => 36));
    const { published, deduplicated } = pushed.qstash.stats();
    expect(published).toBeLessThanOrEqual(16);
    expect(deduplicated).toBe(0);
  });

  it('continues a run that receives a signal', async () => {
    const handle = await pushed.client.start(Waits);
    await waitFor(async () => (await handle.status()) === 'waiting');
    await handle.signal(go, 7);
    expect(await handle.result({ timeout: seconds(20) })).toBe(7);
  });

  it('executes children', async () => {
    expect(await (await pushed.client.start(Parent, 5)).result({ timeout: seconds(20) })).toEqual([0, 2, 4, 6, 8]);
  });

  it('publishes a message for the parent before it answers the delivery of an ended child', async () => {
    const qstash = await QStashEmulator.start();
    const options = { qstash: { url: await slowApi(qstash.url, 200), namespace: 'slow' } };
    const slow = await startPushed(database.url, [SlowParent, SlowChild], { qstash, options });
    const handle = await slow.client.start(SlowParent);
    expect(await handle.result({ timeout: seconds(20) })).toBe(1);
    await qstash.settled();
    const [, toldOfParent] = qstash.messages.filter(({ body }) => body.includes(`"${handle.runId}"`));
    const child = qstash.deliveries.find(({ body }) => body !== '' && !body.includes(`"${handle.runId}"`));
    expect(toldOfParent!.createdAt.getTime()).toBeLessThanOrEqual(child!.endedAt!.getTime());
    await slow.close();
    await qstash.close();
  });

  it('receives one message for a sleep that a sweep finds minutes after its end', async () => {
    const handle = await pushed.client.start(Child, 3, { delay: '2h' });
    await database.query(`UPDATE durable.workflow_runs SET wake_at = now() - interval '2 minutes' WHERE id = $1`, [handle.runId]);
    await pushed.sweep();
    expect(await handle.result({ timeout: seconds(20) })).toBe(6);
    await pushed.qstash.settled();
    expect(pushed.qstash.messages.filter(({ body }) => body.includes(`"${handle.runId}"`))).toHaveLength(1);
  });

  it('executes a blocked run after the first sweep of a new deployment', async () => {
    const handle = await pushed.client.start(Child, 4, { delay: '2h' });
    const blocked = `status = 'waiting', is_blocked = true, blocked_deployments = '{former}', wake_at = NULL, started_at = now()`;
    await database.query(`UPDATE durable.workflow_runs SET ${blocked} WHERE id = $1`, [handle.runId]);
    await pushed.sweep();
    expect(await handle.result({ timeout: seconds(20) })).toBe(8);
  });

  it('executes a bulk operation at its rate during a sweep', async () => {
    const inputs = Array.from({ length: 30 }, (_, n) => n);
    await pushed.client.startMany(Child, inputs, { delay: '2h', tags: { bulk: 'yes' } });
    const { token } = await pushed.client.bulk.cancel({ filter: { tags: { bulk: 'yes' } }, dryRun: true });
    await pushed.client.bulk.cancel({ token, rate: 20 });
    await pushed.sweep();
    await waitFor(async () => (await pushed.client.bulk.status(token)).state === 'completed');
    expect(await pushed.client.count({ status: 'cancelled' })).toBe(30);
  });

  it('executes many runs at a time, and has no session afterwards', async () => {
    const handles = await pushed.client.startMany(
      Child,
      Array.from({ length: 40 }, (_, n) => n),
    );
    expect(await Promise.all(handles.map((handle) => handle.result({ timeout: seconds(20) })))).toEqual(handles.map((_, n) => n * 2));
    await waitFor(async () => (await sessions()).length === 0);
  });

  it('hands a run over when its time budget is used up, with progress in each delivery and no repeated body', async () => {
    const brief = await startPushed(database.url, [Long], { options: { qstash: { timeBudget: 0, namespace: 'brief' } } });
    executed = [];
    const handle = await brief.client.start(Long, 5);
    expect(await handle.result({ timeout: seconds(20) })).toBe(5);
    expect(executed).toEqual(['work', 'work#2', 'work#3', 'work#4', 'work#5']);
    expect(brief.qstash.stats().published).toBeGreaterThan(2);
    await brief.close();
  });

  it.each([
    ['the standard timeout of steps', {}],
    ['a step timeout that is longer than a request may take', { timeout: '10m' } as const],
  ])('fails a step that takes longer than a request may after its last attempt, with %s', async (_, options) => {
    let bodies = 0;
    @Workflow({ name: 'endless', retry: { maxAttempts: 2, initialInterval: 300, jitter: false } })
    class Endless {
      async run(_input: void, ctx: WorkflowContext): Promise<void> {
        await ctx.step('endless', options, async () => {
          bodies++;
          await sleep(60_000, undefined, { signal: currentStep().abortSignal });
        });
      }
    }
    const short = await startPushed(database.url, [Endless], {
      options: { qstash: { deliveryTimeout: '6s', timeBudget: 100, namespace: 'short' } },
    });
    const failure = await (await short.client.start(Endless)).result({ timeout: seconds(20) }).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(WorkflowFailedError);
    const { cause } = failure as WorkflowFailedError;
    expect(String(cause)).toContain('3000 ms');
    expect(cause).toMatchObject({ attempts: 2 });
    // A delivery that begins the step late is cut off before the timeout, and counts no attempt.
    expect(bodies).toBeLessThanOrEqual(short.qstash.deliveries.length);
    await short.close();
  });

  it('warns when a run is handed over in the middle of a step', async () => {
    let begun = 0;
    @Workflow({ name: 'late' })
    class Late {
      async run(_input: void, ctx: WorkflowContext): Promise<string> {
        await ctx.step('quick', () => sleep(600));
        await ctx.step('slow', async () => {
          if (begun++ > 0) return;
          await sleep(700);
        });
        return 'done';
      }
    }
    const logger = new Lines();
    const brief = await startPushed(database.url, [Late], { logger, options: { qstash: { deliveryTimeout: '3s', namespace: 'late' } } });
    const handle = await brief.client.start(Late);
    expect(await handle.result({ timeout: seconds(20) })).toBe('done');
    expect(logger.lines.join('\n')).toContain(
      `run "${handle.runId}" (late): the delivery reached its limit of 3000 ms (qstash.deliveryTimeout) in the middle of a step`,
    );
    await brief.close();
  });

  it('hands a run over after its resume when its time budget ended during a request to pause', async () => {
    const budget = { timeBudget: '300ms', namespace: 'paused', sweep: false } as const;
    const { client, qstash, close } = await startPushed(database.url, [Doors], { options: { qstash: budget } });
    const handle = await client.start(Doors);
    await waitFor(() => open !== undefined);
    await client.pause(handle.runId);
    // Longer than the budget.
    await sleep(600);
    await client.resume(handle.runId);
    open!();
    expect(await handle.result({ timeout: seconds(20) })).toBe('through');
    expect(qstash.messages).toHaveLength(2);
    await close();
  });

  it('hands its runs back when it closes, and another application continues them', async () => {
    const other = await startPushed(database.url, [Long]);
    executed = [];
    const handle = await other.client.start(Long, 20);
    await waitFor(() => executed.length > 3);
    await other.app.close();
    expect(await handle.status().catch(() => 'closed')).toBe('closed');
    const ours = pushed.client.getHandle(Long, handle.runId);
    await waitFor(async () => (await ours.status()) === 'pending');
    // The message of the run went to an address at which no application listens any more.
    await database.query(`UPDATE durable.workflow_runs SET ready_at = ready_at - interval '2 minutes'`);
    await pushed.sweep();
    expect(await ours.result({ timeout: seconds(20) })).toBe(20);
    expect(new Set(executed).size).toBe(executed.length);
    await other.qstash.close();
  });

  it('sends no query to the database while no message and no sweep comes', async () => {
    const idle = await createTestDatabase();
    const { client, close } = await startPushed(idle.url, [EightSteps], { options: { qstash: { sweep: false } } });
    await client.execute(EightSteps, 1_000);
    await waitFor(async () => (await idle.query('SELECT 1 FROM durable.workflow_sessions')).length === 0);
    const ours = `SELECT max(query_start)::text AS last FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name LIKE 'nestjs-durable%'`;
    const [before] = await idle.query(ours);
    expect(before.last).not.toBeNull();
    await sleep(IDLE_MS);
    const [after] = await idle.query(ours);
    expect([before.last, null]).toContain(after.last);
    await close();
    await idle.drop();
  });

  it('publishes a message for a waiting run that its own process has started, with transport both', async () => {
    const options = { transport: 'both', qstash: { namespace: 'both' }, worker: { suspendAfter: 20 } } as const;
    const both = await startPushed(database.url, [EightSteps], { options });
    expect(await (await both.client.start(EightSteps, 500)).result({ timeout: seconds(20) })).toBe(36);
    expect(both.qstash.stats().published).toBeGreaterThan(0);
    await both.close();
  });
});
