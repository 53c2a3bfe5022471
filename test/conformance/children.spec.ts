import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import {
  defineSignal,
  NonRetryableError,
  Workflow,
  type InvokeOptions,
  type StandardSchema,
  type WorkflowContext,
} from '../../src/index.js';
import { startApplication, type TestApplication } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { seconds, waitFor } from '../support/wait.js';

const go = defineSignal<string>('go');

@Workflow({ name: 'failing' })
class Failing {
  async run(input: { code: string }, ctx: WorkflowContext): Promise<void> {
    await ctx.step('charge', () => {
      throw Object.assign(new NonRetryableError('declined', { cause: new RangeError('no funds') }), { detail: input.code });
    });
  }
}

/** Ends when it receives a signal. Executes a step when it is cancelled. */
@Workflow({ name: 'patient' })
class Patient {
  async run(_input: void, ctx: WorkflowContext): Promise<string> {
    try {
      return await ctx.waitForSignal(go);
    } finally {
      await ctx.step('tidy', () => 'tidied');
    }
  }
}

@Workflow({ name: 'unserved', queue: 'nobody serves it' })
class Unserved {
  async run(): Promise<void> {}
}

interface Asked {
  readonly of: 'failing' | 'patient' | 'unserved';
  readonly options?: Pick<InvokeOptions, 'id' | 'timeout' | 'onTimeout' | 'onCancel'>;
}

/** Invokes a child. Returns its result, or the names and messages of its error and causes. */
@Workflow({ name: 'asking' })
class Asking {
  async run({ of, options = {} }: Asked, ctx: WorkflowContext): Promise<unknown> {
    try {
      if (of === 'failing') return await ctx.invoke(Failing, { code: 'E1' }, options);
      if (of === 'patient') return await ctx.invoke(Patient, undefined, options);
      return await ctx.invoke(Unserved, undefined, options);
    } catch (error) {
      const names: unknown[] = [];
      for (let at: unknown = error; at instanceof Error; at = at.cause) names.push(at.name, at.message);
      return names;
    }
  }
}

@Workflow({ name: 'detaching' })
class Detaching {
  async run(input: { id?: string }, ctx: WorkflowContext): Promise<string> {
    const { runId } = await ctx.start(Patient, undefined, input);
    return runId;
  }
}

const slowlyChecked: StandardSchema<string> = {
  '~standard': { version: 1, vendor: 'test', validate: async (value) => ({ value: (await sleep(300), value as string) }) },
};

@Workflow({ name: 'checked', input: slowlyChecked })
class Checked {
  async run(_input: string): Promise<void> {}
}

@Workflow({ name: 'sleepy' })
class Sleepy {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    await Promise.all([ctx.sleep('1 day'), ctx.invoke(Checked, 'input')]);
  }
}

describe('children', () => {
  let app: TestApplication;
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
    const worker = { suspendAfter: 50, queues: ['default'] };
    app = await startApplication(database.url, [Failing, Patient, Unserved, Asking, Detaching, Checked, Sleepy], { worker });
  });
  afterAll(async () => {
    await app.close();
    await database.drop();
  });

  const ask = (asked: Asked, id: string) => app.client.start(Asking, asked, { id });
  const childOf = (id: string): Promise<string> =>
    waitFor(async () => (await app.client.describe(id)).children[0]?.runId, { message: `a child of ${id}` });
  const isWaiting = (id: string) => waitFor(async () => (await app.client.status(id)) === 'waiting', { message: `${id} to wait` });

  it('throw in the parent when they fail, with their own error as the cause', async () => {
    const handle = await ask({ of: 'failing' }, 'fails');
    const child = await childOf('fails');
    expect(await handle.result()).toEqual([
      'WorkflowFailedError',
      `Run "${child}" failed: Step "charge" failed after 1 attempt: declined`,
      'StepFailedError',
      expect.stringContaining('declined'),
      'NonRetryableError',
      'declined',
      'RangeError',
      'no funds',
    ]);
  });

  it('appear in the description of their parent, and their descriptions name the parent', async () => {
    await ask({ of: 'patient' }, 'links');
    const child = await childOf('links');
    await isWaiting('links');
    await isWaiting(child);
    const parent = await app.client.describe('links');
    expect(parent.children).toEqual([{ runId: child, name: 'patient', status: 'waiting' }]);
    expect(parent.waits).toEqual([{ stepKey: 'invoke:patient', kind: 'child', name: child, wakeAt: undefined, attempts: 0 }]);
    expect((await app.client.describe(child)).parent).toEqual({ runId: 'links', stepKey: 'invoke:patient' });
    await app.client.signal(child, go, 'on');
    expect(await app.client.getHandle('links').result()).toBe('on');
    expect((await app.client.describe('links')).children).toEqual([{ runId: child, name: 'patient', status: 'completed' }]);
  });

  it.each([
    ['leave', 'waiting'],
    ['cancel', 'cancelled'],
  ] as const)('let the parent continue after their timeout: with onTimeout %s the child is %s', async (onTimeout, status) => {
    const id = `late-${onTimeout}`;
    const handle = await ask({ of: 'patient', options: { id: `${id}-child`, timeout: 100, onTimeout } }, id);
    expect(await handle.result()).toEqual(['ResultTimeoutError', expect.stringContaining(`${id}-child`)]);
    await waitFor(async () => (await app.client.status(`${id}-child`)) === status, { message: `the child to be ${status}` });
    const { waits } = await app.client.describe(`${id}-child`);
    expect(waits.map(({ kind }) => kind)).toEqual(status === 'waiting' ? ['signal'] : []);
  });

  it.each([
    ['cancel', 'cancelled'],
    ['leave', 'waiting'],
  ] as const)('follow onCancel when their parent is cancelled: with %s they are %s', async (onCancel, status) => {
    const id = `gone-${onCancel}`;
    const handle = await ask({ of: 'patient', options: { id: `${id}-child`, onCancel } }, id);
    await isWaiting(`${id}-child`);
    await isWaiting(id);
    await handle.cancel({ reason: 'enough' });
    await expect(handle.result()).rejects.toMatchObject({ name: 'WorkflowCancelledError' });
    await waitFor(async () => (await app.client.status(`${id}-child`)) === status, { message: `the child to be ${status}` });
    const steps = await app.client.steps(`${id}-child`);
    expect(steps.map(({ stepKey }) => stepKey)).toEqual(status === 'waiting' ? [] : ['$cancel', 'tidy']);
  });

  it('are cancelled with their parent, without an execution, when no worker has executed them', async () => {
    const handle = await ask({ of: 'unserved', options: { id: 'unborn' } }, 'mourns');
    await isWaiting('mourns');
    await handle.cancel();
    // The child is cancelled sooner than the sweep would find the request.
    await expect(app.client.getHandle('unborn').result({ timeout: seconds(4) })).rejects.toMatchObject({
      name: 'WorkflowCancelledError',
      reason: 'its parent no longer waits for it',
    });
    await expect(app.client.describe('unborn')).resolves.toMatchObject({ startedAt: undefined, epoch: 0 });
  });

  it('throw WorkflowCancelledError in the parent when a caller cancels them', async () => {
    const handle = await ask({ of: 'patient', options: { id: 'cancelled-child' } }, 'bereft');
    await isWaiting('cancelled-child');
    await app.client.cancel('cancelled-child', { reason: 'a person' });
    expect(await handle.result()).toEqual(['WorkflowCancelledError', expect.stringContaining('a person')]);
  });

  it('throw WorkflowCancelledError in the parent when a caller cancels them before their first execution', async () => {
    const handle = await ask({ of: 'unserved', options: { id: 'never-began' } }, 'waits in vain');
    await isWaiting('waits in vain');
    await app.client.cancel('never-began', { reason: 'a person' });
    expect(await handle.result({ timeout: seconds(5) })).toEqual(['WorkflowCancelledError', expect.stringContaining('a person')]);
  });

  it('throw an error that the parent can catch when another run has their id', async () => {
    await app.client.start(Patient, undefined, { id: 'taken' });
    expect(await (await ask({ of: 'failing', options: { id: 'taken' } }, 'greedy')).result()).toEqual([
      'RunAlreadyExistsError',
      expect.stringContaining('taken'),
    ]);
  });

  it('throw when another run has their id, also when their start takes longer than suspendAfter', async () => {
    await app.client.start(Unserved, undefined, { id: 'taken slowly' });
    await database.query(`CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.5); RETURN NEW; END $$;
      CREATE TRIGGER slow BEFORE INSERT ON durable.workflow_runs FOR EACH ROW WHEN (NEW.id = 'taken slowly') EXECUTE FUNCTION slow()`);
    const handle = await ask({ of: 'failing', options: { id: 'taken slowly' } }, 'slow');
    expect(await handle.result({ timeout: seconds(45) })).toEqual(['RunAlreadyExistsError', expect.stringContaining('taken slowly')]);
    await database.query('DROP TRIGGER slow ON durable.workflow_runs; DROP FUNCTION slow()');
  });

  it('start although the check of their input takes longer than suspendAfter, beside another wait', async () => {
    await app.client.start(Sleepy, undefined, { id: 'sleepy' });
    await waitFor(async () => (await app.client.describe('sleepy')).children.length === 1, { message: 'the child to start' });
  });

  it('outlive their parent when ctx.start starts them', async () => {
    const handle = await app.client.start(Detaching, { id: 'free' });
    expect(await handle.result()).toBe('free');
    expect(await app.client.status('free')).not.toBe('cancelled');
    await expect(app.client.describe('free')).resolves.toMatchObject({ parent: { runId: handle.runId, stepKey: undefined } });
    await app.client.signal('free', go, 'done');
    expect(await app.client.getHandle('free').result()).toBe('done');
  });

  it('reach their parent through the sweep when the notification of their end was lost', async () => {
    const handle = await ask({ of: 'patient', options: { id: 'unheard' } }, 'deaf');
    await isWaiting('deaf');
    await isWaiting('unheard');
    // Simulates a process that writes the child's end, and dies before it notifies the parent.
    await database.query(
      `INSERT INTO durable.workflow_inbox (run_id, kind, name, payload, created_at) VALUES ('deaf', 'child', 'invoke:patient', '"heard"', now() - interval '1 minute')`,
    );
    expect(await handle.result({ timeout: seconds(15) })).toBe('heard');
  });
});
