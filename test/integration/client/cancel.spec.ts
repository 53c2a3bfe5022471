import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { currentStep, RunNotFoundError, Workflow, WorkflowCancelledError, type WorkflowContext } from '../../../src/index.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { seconds, waitFor } from '../../support/wait.js';

type Code = (ctx: WorkflowContext) => unknown;
let code: Code = () => undefined;
let log: unknown[] = [];

@Workflow({ name: 'scripted' })
class ScriptedWorkflow {
  async run(_input: void, ctx: WorkflowContext): Promise<unknown> {
    return code(ctx);
  }
}

/** A body that, like `fetch`, ends only when its signal aborts. */
const untilAborted = (name: string) => (): Promise<never> => {
  const { abortSignal } = currentStep();
  log.push(`${name} begun`);
  return new Promise((_, reject) => {
    abortSignal.addEventListener('abort', () => {
      log.push(`${name} aborted: ${(abortSignal.reason as Error).name}`);
      reject(abortSignal.reason);
    });
  });
};

describe('client.cancel', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(closeApplications);
  afterAll(() => database.drop());

  const boot = async (script: Code, worker: object | false = { suspendAfter: 10 }) => {
    code = script;
    log = [];
    return (await startApplication(database.url, [ScriptedWorkflow], { worker })).client;
  };
  const leftovers = async (runId: string) => [
    await database.query('SELECT * FROM durable.workflow_inbox WHERE run_id = $1', [runId]),
    await database.query('SELECT * FROM durable.workflow_waits WHERE run_id = $1', [runId]),
  ];

  it('ends a run that was never executed at once, and no worker executes that run', async () => {
    const client = await boot(() => log.push('executed'), false);
    const handle = await client.start(ScriptedWorkflow);
    const waiting = handle.result({ timeout: seconds(5) });
    waiting.catch(() => undefined);
    await handle.cancel({ actor: 'Ada', reason: 'no longer wanted' });
    await expect(handle.status()).resolves.toBe('cancelled');
    const error = await waiting.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(WorkflowCancelledError);
    expect(error).toMatchObject({ runId: handle.runId, reason: 'no longer wanted' });
    expect((await handle.describe()).cancelRequestedAt).toBeInstanceOf(Date);
    const events = await database.query('SELECT kind, data FROM durable.workflow_run_log WHERE run_id = $1', [handle.runId]);
    expect(events).toEqual([{ kind: 'cancel_requested', data: { actor: 'Ada', reason: 'no longer wanted' } }]);
    expect(await leftovers(handle.runId)).toEqual([[], []]);
    await closeApplications();
    const worker = await boot(() => log.push('executed'));
    await worker.execute(ScriptedWorkflow);
    expect(log).toEqual(['executed']);
  });

  it('ends a delayed run that was never executed at once', async () => {
    const client = await boot(() => undefined);
    const handle = await client.start(ScriptedWorkflow, undefined, { delay: '1h' });
    await handle.cancel();
    await expect(handle.describe()).resolves.toMatchObject({ status: 'cancelled', wakeAt: undefined });
  });

  it('resumes a suspended run, whose finally block may execute steps', async () => {
    const client = await boot(async (ctx) => {
      try {
        await ctx.sleep('1 day');
      } catch (error) {
        log.push(error instanceof WorkflowCancelledError ? `caught ${error.reason}` : error);
        throw error;
      } finally {
        log.push(await ctx.step('clean up', () => 'cleaned'));
      }
    });
    const handle = await client.start(ScriptedWorkflow);
    await waitFor(async () => (await handle.status()) === 'waiting');
    await handle.cancel({ reason: 'enough' });
    const error = await handle.result({ timeout: seconds(5) }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(WorkflowCancelledError);
    expect(error).toMatchObject({ reason: 'enough' });
    expect(log).toEqual(['caught enough', 'cleaned']);
    expect((await handle.steps()).map(({ stepKey }) => stepKey)).toContain('clean up');
    await expect(handle.describe()).resolves.toMatchObject({ status: 'cancelled', error: { name: 'WorkflowCancelledError' } });
    expect(await leftovers(handle.runId)).toEqual([[], []]);
  });

  it('interrupts the sleep of a run that is not suspended', async () => {
    const client = await boot((ctx) => ctx.sleep('1 day'), { suspendAfter: '10m', pollInterval: '30s', maxPollInterval: '30s' });
    const handle = await client.start(ScriptedWorkflow);
    await waitFor(async () => (await database.query('SELECT 1 FROM durable.workflow_waits WHERE run_id = $1', [handle.runId])).length > 0);
    await handle.cancel();
    await expect(handle.result({ timeout: seconds(5) })).rejects.toBeInstanceOf(WorkflowCancelledError);
  });

  it('aborts the signal of the executing step', async () => {
    const client = await boot(async (ctx) => {
      log.push(`ctx ${ctx.abortSignal.aborted}`);
      await ctx.step('call', untilAborted('call')).catch((error: unknown) => log.push((error as Error).name));
      log.push(`ctx ${ctx.abortSignal.aborted}`);
    });
    const handle = await client.start(ScriptedWorkflow);
    await waitFor(() => log.includes('call begun'));
    await handle.cancel();
    await expect(handle.result({ timeout: seconds(5) })).rejects.toBeInstanceOf(WorkflowCancelledError);
    expect(log).toEqual(['ctx false', 'call begun', 'call aborted: WorkflowCancelledError', 'WorkflowCancelledError', 'ctx true']);
    expect((await handle.steps()).map(({ stepKey }) => stepKey)).not.toContain('call');
  });

  it('does not wait for a step that ignores its abort signal', async () => {
    const client = await boot((ctx) => ctx.step('deaf', () => new Promise(() => log.push('begun'))), { shutdownTimeout: 50 });
    const handle = await client.start(ScriptedWorkflow);
    await waitFor(() => log.includes('begun'));
    await handle.cancel();
    await expect(handle.result({ timeout: seconds(5) })).rejects.toBeInstanceOf(WorkflowCancelledError);
  });

  it('ends a run as cancelled when the workflow swallows the cancellation error', async () => {
    const client = await boot(async (ctx) => {
      try {
        await ctx.sleep('1 day');
      } catch {
        // The workflow swallows the cancellation error.
      }
      return ctx.step('one more', () => 'a result');
    });
    const handle = await client.start(ScriptedWorkflow);
    await waitFor(async () => (await handle.status()) === 'waiting');
    await handle.cancel();
    await expect(handle.result({ timeout: seconds(5) })).rejects.toBeInstanceOf(WorkflowCancelledError);
    await expect(handle.describe()).resolves.toMatchObject({ status: 'cancelled', output: undefined });
  });

  it('ends a run as cancelled when its clean-up throws another error', async () => {
    const client = await boot(async (ctx) => {
      await ctx.sleep('1 day').finally(() => {
        throw new Error('while cleaning up');
      });
    });
    const handle = await client.start(ScriptedWorkflow);
    await waitFor(async () => (await handle.status()) === 'waiting');
    await handle.cancel();
    await expect(handle.result({ timeout: seconds(5) })).rejects.toBeInstanceOf(WorkflowCancelledError);
  });

  it('ends the wait of a step for its next attempt', async () => {
    const client = await boot((ctx) =>
      ctx.step('flaky', { retry: { maxAttempts: 9, initialInterval: '1h' } }, () => {
        throw new Error('not now');
      }),
    );
    const handle = await client.start(ScriptedWorkflow);
    await waitFor(async () => (await handle.status()) === 'waiting');
    await handle.cancel();
    await expect(handle.result({ timeout: seconds(5) })).rejects.toBeInstanceOf(WorkflowCancelledError);
    expect(await leftovers(handle.runId)).toEqual([[], []]);
  });

  it('has the effect of one request when two callers cancel a run', async () => {
    const client = await boot((ctx) => ctx.sleep('1 day').catch((error: unknown) => log.push(error)));
    const handle = await client.start(ScriptedWorkflow);
    await waitFor(async () => (await handle.status()) === 'waiting');
    await Promise.all([handle.cancel({ reason: 'a' }), client.cancel(handle.runId, { reason: 'b' })]);
    await expect(handle.result({ timeout: seconds(5) })).rejects.toBeInstanceOf(WorkflowCancelledError);
    expect(log).toHaveLength(1);
    expect(await leftovers(handle.runId)).toEqual([[], []]);
  });

  it.each<[string, Code, string]>([
    ['completed', () => 'done', 'completed'],
    ['failed', () => Promise.reject(new Error('failed before')), 'failed'],
  ])('does not change a run that has %s', async (_, script, status) => {
    const client = await boot(script);
    const handle = await client.start(ScriptedWorkflow);
    await handle.result().catch(() => undefined);
    await expect(handle.cancel()).resolves.toBeUndefined();
    await expect(handle.describe()).resolves.toMatchObject({ status, cancelRequestedAt: undefined });
    expect(await leftovers(handle.runId)).toEqual([[], []]);
    expect(await database.query('SELECT * FROM durable.workflow_run_log WHERE run_id = $1', [handle.runId])).toEqual([]);
  });

  it('rejects with RunNotFoundError when the run does not exist', async () => {
    const client = await boot(() => undefined);
    await expect(client.cancel('nobody')).rejects.toBeInstanceOf(RunNotFoundError);
    expect(await database.query(`SELECT * FROM durable.workflow_inbox WHERE run_id = 'nobody'`)).toEqual([]);
  });
});
