import { describe, expect, it } from '@jest/globals';

import { NonRetryableError, RetryableError, StepFailedError, StepTimeoutError } from '../../src/core/errors/index.js';
import { currentStep } from '../../src/engine/current.js';
import { execute, TestRun, type WorkflowFunction } from './harness.js';
import { delay, until, useVirtualTime } from './virtual-time.js';

useVirtualTime();

class CardDeclined extends Error {
  override readonly name = 'CardDeclined';
}

/** Step that fails a number of times, and notes the time and the number of each attempt. */
function flaky(failures: number, retry: object = { maxAttempts: 5 }, error: (attempt: number) => unknown = () => new Error('flaky')) {
  const tries: { at: number; attempt: number }[] = [];
  const begun = Date.now();
  const workflow: WorkflowFunction = (ctx) =>
    ctx.step('a', { retry }, () => {
      const { attempt } = currentStep();
      tries.push({ at: Date.now() - begun, attempt });
      if (attempt <= failures) throw error(attempt);
      return attempt;
    });
  return { tries, workflow };
}

describe('a step that fails', () => {
  it('is tried again, and each pause is twice the previous one, up to maxInterval', async () => {
    const { tries, workflow } = flaky(4, { maxAttempts: 5, initialInterval: 100, maxInterval: 300 });
    const { run, ending } = await execute(workflow);
    expect(ending).toMatchObject({ output: 5 });
    expect(tries).toEqual([0, 100, 300, 600, 900].map((at, index) => ({ at, attempt: index + 1 })));
    expect(run.stored.history.steps).toMatchObject([{ stepKey: 'a', attempts: 5, status: 'completed' }]);
    expect(run.stored.waits.size).toBe(0);
    expect(run.stored.events.map(({ kind, attempt }) => [kind, attempt])).toEqual(
      [1, 2, 3, 4].map((attempt) => ['attempt_failed', attempt]),
    );
  });

  it('fails for good when its attempts are used up', async () => {
    const { tries, workflow } = flaky(9, { maxAttempts: 3 });
    const { run, ending } = await execute(workflow);
    expect(tries).toHaveLength(3);
    expect(ending).toMatchObject({
      status: 'failed',
      error: { name: 'StepFailedError', stepKey: 'a', attempts: 3, cause: { message: 'flaky' } },
    });
    expect(run.stored.history.steps).toMatchObject([{ status: 'failed', attempts: 3, output: null }]);
  });

  it('counts attempts across crashes without losing or adding one', async () => {
    for (let crash = 1; crash <= 3; crash++) {
      const { tries, workflow } = flaky(9, { maxAttempts: 4, initialInterval: 100 });
      const { ending } = await execute(workflow, { crashes: (count) => count === crash });
      expect(ending).toMatchObject({ status: 'failed', error: { attempts: 4 } });
      expect(tries).toEqual([0, 100, 300, 700].map((at, index) => ({ at, attempt: index + 1 })));
    }
  });

  it('keeps the pause after a crash: the next attempt is due when it was due', async () => {
    const { tries, workflow } = flaky(1, { initialInterval: '1h', maxInterval: '2h' });
    const run = new TestRun(workflow);
    await until(() => run.stored.waits.size > 0);
    run.letGo();
    setTimeout(() => run.begin(), 600_000);
    await run.end();
    expect(tries).toEqual([
      { at: 0, attempt: 1 },
      { at: 3_600_000, attempt: 2 },
    ]);
  });

  it('is tried at once after a crash when the attempt was due meanwhile', async () => {
    const { tries, workflow } = flaky(1, { initialInterval: '1m' });
    const run = new TestRun(workflow);
    await until(() => run.stored.waits.size > 0);
    run.letGo();
    setTimeout(() => run.begin(), 600_000);
    await run.end();
    expect(tries.map(({ at }) => at)).toEqual([0, 600_000]);
  });

  it('is not tried again after a NonRetryableError', async () => {
    const { tries, workflow } = flaky(9, { maxAttempts: 5 }, () => new NonRetryableError('stolen'));
    const { ending } = await execute(workflow);
    expect(tries).toHaveLength(1);
    expect(ending).toMatchObject({ error: { attempts: 1, cause: { name: 'NonRetryableError', message: 'stolen' } } });
  });

  it.each<[string, () => unknown, number]>([
    ['a duration', () => '10s', 10_000],
    ['milliseconds', () => 250, 250],
    ['a Date', () => new Date(Date.now() + 5_000), 5_000],
    ['a Date that has passed', () => new Date(Date.now() - 5_000), 0],
    ['nothing', () => undefined, 1_000],
  ])('with a RetryableError is tried again after its retryAfter: %s', async (_, retryAfter, pause) => {
    const { tries, workflow } = flaky(1, {}, () => new RetryableError('limited', { retryAfter: retryAfter() as number }));
    await execute(workflow);
    expect(tries.map(({ at }) => at)).toEqual([0, pause]);
  });

  it('counts an attempt that throws a RetryableError', async () => {
    const { tries, workflow } = flaky(9, { maxAttempts: 2 }, () => new RetryableError('limited', { retryAfter: 5 }));
    await execute(workflow);
    expect(tries).toHaveLength(2);
  });

  it('keeps its own error when retryAfter is not a time', async () => {
    const { ending } = await execute(flaky(9, {}, () => new RetryableError('limited', { retryAfter: 'soon' as never })).workflow);
    expect(ending).toMatchObject({ error: { cause: { message: 'limited' } } });
  });

  it('is not tried again when retryIf returns false or throws', async () => {
    const seen: unknown[] = [];
    const no = flaky(9, { maxAttempts: 5, retryIf: (error: Error) => seen.push(error.message) < 2 });
    await execute(no.workflow);
    expect(no.tries).toHaveLength(2);
    expect(seen).toEqual(['flaky', 'flaky']);
    const bad = flaky(9, { maxAttempts: 5, retryIf: () => JSON.parse('no') as boolean });
    expect((await execute(bad.workflow)).ending).toMatchObject({ error: { cause: { message: 'flaky' } } });
    expect(bad.tries).toHaveLength(1);
  });

  it('throws a StepFailedError whose cause can be identified by class, live and on replay', async () => {
    const workflow: WorkflowFunction = async (ctx) => {
      try {
        await ctx.step('a', { retry: { maxAttempts: 1 } }, () => {
          throw Object.assign(new CardDeclined('no', { cause: new RangeError('limit') }), { card: 7 });
        });
      } catch (error) {
        const { cause } = error as { cause: CardDeclined & { card: number; cause: Error } };
        return [
          StepFailedError.is(error, CardDeclined),
          StepFailedError.is(error, RangeError),
          cause.card,
          cause.cause.message,
          cause.stack!.includes('retries.spec'),
        ];
      }
      throw new Error('nothing was thrown');
    };
    const { run, ending } = await execute(workflow);
    expect(ending).toMatchObject({ output: [true, false, 7, 'limit', true] });
    expect((await execute(workflow, { history: run.stored.history })).ending).toEqual(ending);
  });

  it.each<[string, unknown]>([
    ['text', 'oops'],
    ['undefined', undefined],
    ['null', null],
    ['an object', { code: 7 }],
  ])('may throw %s', async (_, thrown) => {
    const workflow: WorkflowFunction = (ctx) =>
      ctx
        .step('a', { retry: { maxAttempts: 1 } }, () => {
          throw thrown;
        })
        .catch((error: Error) => error.cause);
    const { run, ending } = await execute(workflow);
    expect(ending.status).toBe('completed');
    expect((await execute(workflow, { history: run.stored.history })).ending).toEqual(ending);
  });
});

describe('a step that exceeds its timeout', () => {
  it('is aborted by its signal and tried again', async () => {
    const signals: AbortSignal[] = [];
    const { run, ending } = await execute((ctx) =>
      ctx.step('a', { timeout: '1s', retry: { initialInterval: 10 } }, async () => {
        const { abortSignal, attempt } = currentStep();
        signals.push(abortSignal);
        if (attempt === 1) await delay(1_500);
        return attempt;
      }),
    );
    expect(ending).toMatchObject({ output: 2 });
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, false]);
    expect(signals[0]!.reason).toBeInstanceOf(StepTimeoutError);
    expect(run.bodies.get('a')).toBe(2);
  });

  it('fails with StepTimeoutError as the cause, and later acts of the body are ignored', async () => {
    let late = false;
    const { run, ending } = await execute(async (ctx) => {
      const error = await ctx
        .step('a', { timeout: 50, retry: { maxAttempts: 1 } }, async () => {
          await delay(100);
          late = true;
          return 'late';
        })
        .catch((error: unknown) => error);
      await ctx.sleep(1_000);
      return StepFailedError.is(error, StepTimeoutError);
    });
    expect(ending).toMatchObject({ output: true });
    expect(late).toBe(true);
    expect(run.keys).toEqual(['a', 'sleep']);
  });

  it('has an aborted signal even if the body first reads the signal after the timeout', async () => {
    const { ending } = await execute(async (ctx) => {
      const step = currentStepIn();
      await ctx.step('a', { timeout: 50, retry: { maxAttempts: 1 } }, step.body).catch(() => undefined);
      await ctx.sleep(1_000);
      return step.reason();
    });
    expect(ending).toMatchObject({ output: 'StepTimeoutError' });
  });
});

function currentStepIn(): { body: () => Promise<void>; reason: () => string } {
  let name = '';
  const body = async (): Promise<void> => {
    const step = currentStep();
    await delay(100);
    name = (step.abortSignal.reason as Error).name;
  };
  return { body, reason: () => name };
}
