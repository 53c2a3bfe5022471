import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import {
  currentStep,
  NonRetryableError,
  RetryableError,
  StepFailedError,
  StepTimeoutError,
  Workflow,
  WorkflowFailedError,
  type StepOptions,
  type WorkflowContext,
  type Duration,
} from '../../../src/index.js';
import { closeApplications, startApplication, type TestApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { seconds, waitFor } from '../../support/wait.js';

type Body = () => unknown;
let body: Body = () => undefined;
let options: StepOptions = {};
let tries: { at: number; attempt: number; key: string }[] = [];

@Workflow({ name: 'flaky', retry: { maxAttempts: 2, initialInterval: 5 } })
class FlakyWorkflow {
  run(_input: void, ctx: WorkflowContext): Promise<unknown> {
    return ctx.step('flaky', options, () => {
      const { attempt, idempotencyKey } = currentStep();
      tries.push({ at: performance.now(), attempt, key: idempotencyKey });
      return body();
    });
  }
}

const failUntil = (attempt: number, error: (attempt: number) => unknown) => () => {
  if (tries.length < attempt) throw error(tries.length);
  return `succeeded at ${tries.length}`;
};

describe('a failing step', () => {
  let database: TestDatabase;
  let client: TestApplication['client'];
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(closeApplications);
  afterAll(() => database.drop());

  const start = async (step: Body, stepOptions: StepOptions = {}, worker = {}) => {
    ({ client } = await startApplication(database.url, [FlakyWorkflow], { worker }));
    tries = [];
    body = step;
    options = stepOptions;
    return client.start(FlakyWorkflow);
  };
  const eventsOf = (runId: string) =>
    database.query(`SELECT kind, step_key, attempt, data FROM durable.workflow_run_log WHERE run_id = $1 ORDER BY id`, [runId]);
  const waitsOf = (runId: string) => database.query('SELECT * FROM durable.workflow_waits WHERE run_id = $1', [runId]);

  it('is retried after growing pauses, and the log of its run records each failure', async () => {
    const retry = { maxAttempts: 5, initialInterval: 30, backoffCoefficient: 2, jitter: false };
    const handle = await start(
      failUntil(4, (attempt) => new Error(`failure ${attempt}`)),
      { retry },
    );
    await expect(handle.result()).resolves.toBe('succeeded at 4');
    expect(tries.map(({ attempt }) => attempt)).toEqual([1, 2, 3, 4]);
    expect(new Set(tries.map(({ key }) => key))).toEqual(new Set([`${handle.runId}:flaky`]));
    const pauses = tries.slice(1).map(({ at }, index) => at - tries[index]!.at);
    for (const [index, least] of [29, 59, 119].entries()) expect(pauses[index]).toBeGreaterThanOrEqual(least);
    const events = await eventsOf(handle.runId);
    expect(events.map(({ kind, step_key: key, attempt }) => [kind, key, attempt])).toEqual([
      ['attempt_failed', 'flaky', 1],
      ['attempt_failed', 'flaky', 2],
      ['attempt_failed', 'flaky', 3],
    ]);
    expect(events[1]!.data).toMatchObject({ name: 'Error', message: 'failure 2' });
    expect((await handle.steps())[0]).toMatchObject({ attempts: 4, status: 'completed' });
    expect(await waitsOf(handle.runId)).toEqual([]);
  });

  it('suspends its run until a distant retry, and keeps the count of its attempts', async () => {
    const retry = { maxAttempts: 3, initialInterval: seconds(1), jitter: false };
    const handle = await start(
      failUntil(2, () => new Error('once')),
      { retry },
      { suspendAfter: 10 },
    );
    await waitFor(async () => (await handle.status()) === 'waiting');
    const [wait] = await waitsOf(handle.runId);
    expect(wait).toMatchObject({ step_key: 'flaky', kind: 'retry', attempts: 1 });
    const description = await handle.describe();
    expect(description.waits).toMatchObject([{ stepKey: 'flaky', kind: 'retry', attempts: 1 }]);
    expect(description.wakeAt).toEqual(wait.wake_at);
    await expect(handle.result()).resolves.toBe('succeeded at 2');
    expect(tries.map(({ attempt }) => attempt)).toEqual([1, 2]);
    expect(await waitsOf(handle.runId)).toEqual([]);
  });

  it('fails for good once its attempts are used up', async () => {
    const handle = await start(() => {
      throw new TypeError('always');
    });
    const error = await handle.result().catch((thrown: unknown) => thrown as WorkflowFailedError);
    expect(error).toBeInstanceOf(WorkflowFailedError);
    const cause = (error as WorkflowFailedError).cause as StepFailedError;
    expect(cause).toBeInstanceOf(StepFailedError);
    expect(cause).toMatchObject({ stepKey: 'flaky', attempts: 2, cause: { name: 'TypeError', message: 'always' } });
    expect(await eventsOf(handle.runId)).toHaveLength(1);
  });

  it('fails at once when it throws a NonRetryableError', async () => {
    const handle = await start(
      () => {
        throw new NonRetryableError('stolen card');
      },
      { retry: { maxAttempts: 10 } },
    );
    await expect(handle.result()).rejects.toThrow('stolen card');
    expect(tries).toHaveLength(1);
  });

  it('fails at once with its own error when retryIf returns false or throws', async () => {
    const thrown = () => {
      throw new Error('the original');
    };
    const declined = await start(thrown, { retry: { retryIf: () => false } });
    await expect(declined.result()).rejects.toThrow('the original');
    expect(tries).toHaveLength(1);
    tries = [];
    options = {
      retry: {
        retryIf: () => {
          throw new Error('from retryIf');
        },
      },
    };
    await expect(client.execute(FlakyWorkflow)).rejects.toThrow('the original');
    expect(tries).toHaveLength(1);
  });

  it.each<[string, () => Duration | Date]>([
    ['milliseconds', () => 400],
    ['a duration', () => '400ms'],
    ['a Date', () => new Date(Date.now() + 400)],
  ])('is retried at the time that a RetryableError gives as %s', async (_, retryAfter) => {
    const handle = await start(
      failUntil(2, () => new RetryableError('rate limited', { retryAfter: retryAfter() })),
      { retry: { initialInterval: '1h', jitter: false } },
    );
    await expect(handle.result()).resolves.toBe('succeeded at 2');
    expect(tries[1]!.at - tries[0]!.at).toBeGreaterThanOrEqual(200);
  });

  it('keeps a thrown value that is no Error as the cause', async () => {
    const handle = await start(
      () => {
        throw { odd: true };
      },
      { retry: { maxAttempts: 1 } },
    );
    const error = await handle.result().catch((thrown: unknown) => thrown as Error);
    expect(((error as Error).cause as Error).cause).toEqual({ odd: true });
  });

  it('is aborted by its AbortSignal at its timeout, and is retried', async () => {
    const reasons: unknown[] = [];
    const handle = await start(
      () => {
        if (tries.length === 2) return 'in time';
        const { abortSignal } = currentStep();
        return new Promise((resolve) => {
          abortSignal.addEventListener('abort', () => {
            reasons.push(abortSignal.reason);
            resolve('too late');
          });
        });
      },
      { timeout: 30, retry: { initialInterval: 1 } },
    );
    await expect(handle.result()).resolves.toBe('in time');
    expect(reasons).toHaveLength(1);
    expect(reasons[0]).toBeInstanceOf(StepTimeoutError);
    expect((await eventsOf(handle.runId))[0]).toMatchObject({ attempt: 1, data: { name: 'StepTimeoutError' } });
  });

  it('fails although its body ignores the timeout, and the late result is dropped', async () => {
    const late: (() => void)[] = [];
    const handle = await start(() => new Promise<string>((resolve) => late.push(() => resolve('late'))), {
      timeout: '20ms',
      retry: { maxAttempts: 2, initialInterval: 1 },
    });
    const error = await handle.result().catch((thrown: unknown) => thrown as Error);
    expect(((error as Error).cause as Error).cause).toBeInstanceOf(StepTimeoutError);
    expect(((error as Error).cause as Error).cause).toMatchObject({ stepKey: 'flaky', timeoutMs: 20 });
    for (const finish of late) finish();
    expect(await handle.steps()).toMatchObject([{ status: 'failed', attempts: 2 }]);
  });
});
