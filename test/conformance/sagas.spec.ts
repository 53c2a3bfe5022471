import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';

import {
  CompensationFailedError,
  currentStep,
  defineSignal,
  InvalidInputError,
  NonRetryableError,
  RunNotRetryableError,
  Step,
  StepFailedError,
  Workflow,
  WorkflowCancelledError,
  WorkflowFailedError,
  WorkflowTimeoutError,
  type WorkflowContext,
} from '../../src/index.js';
import { startApplication, type TestApplication } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { seconds, waitFor } from '../support/wait.js';

const go = defineSignal('go');
/** Signal that no run takes: it only makes a waiting run due. */
const poke = defineSignal('poke');
/** Actions of the bodies, in order. */
let log: string[] = [];
/** Names of the actions that throw. */
let broken = new Set<string>();
/** Names of the actions that wait until the test removes the name. */
let held = new Set<string>();

async function act(name: string): Promise<string> {
  log.push(name);
  while (held.has(name)) await new Promise((resolve) => setTimeout(resolve, 5));
  if (broken.has(name)) throw new Error(`${name} is broken`);
  return name;
}

interface Charge {
  id: string;
  cents: number;
}

@Workflow({ name: 'order', retry: { maxAttempts: 1 } })
class OrderWorkflow {
  async run({ cents, waits = false }: { cents: number; waits?: boolean }, ctx: WorkflowContext): Promise<string> {
    await this.reserve('book', 2);
    const charge = await this.charge({ cents });
    if (waits) await ctx.waitForSignal(go);
    await ctx.step('ship', () => act('ship'));
    return charge.id;
  }

  @Step({ compensate: 'release' })
  async reserve(item: string, count: number): Promise<void> {
    await act(`reserve ${count} ${item}`);
  }

  async release(_: undefined, item: string, count: number): Promise<void> {
    await act(`release ${count} ${item}`);
  }

  @Step({ compensate: 'refund' })
  async charge({ cents }: { cents: number }): Promise<Charge> {
    return { id: await act('charge'), cents };
  }

  @Step({ retry: { maxAttempts: 2, initialInterval: '1 minute', jitter: false } })
  async refund({ id, cents }: Charge, order: { cents: number }): Promise<void> {
    const { compensates, idempotencyKey, runId } = currentStep();
    expect(compensates).toEqual({ stepKey: 'charge', idempotencyKey: `${runId}:charge`, status: 'completed' });
    expect(idempotencyKey).toBe(`${runId}:$compensate:charge`);
    await act(`refund ${cents} of ${order.cents} for ${id}`);
  }
}

@Workflow({ name: 'trip', retry: { maxAttempts: 1 } })
class TripWorkflow {
  async run(_input: void, ctx: WorkflowContext): Promise<string> {
    const book = (what: string): Promise<string> => ctx.step(what, { compensate: (seat) => act(`undo ${seat}`) }, () => act(what));
    await book('taxi');
    let airline = 'none';
    for (const each of ['a', 'b']) {
      try {
        airline = await ctx.saga(async () => {
          await book(`seat ${each}`);
          await book(`meal ${each}`);
          return each;
        });
        break;
      } catch (error) {
        if (!(error instanceof StepFailedError)) throw error;
      }
    }
    await ctx.step('mail', () => act('mail'));
    return airline;
  }
}

@Workflow({ name: 'solo', retry: { maxAttempts: 1 } })
class SoloWorkflow {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    await ctx.saga(async () => {
      await ctx.step('seat', { compensate: () => act('undo seat') }, () => act('seat'));
      await ctx.step('meal', () => act('meal'));
    });
  }
}

@Workflow({ name: 'parent', retry: { maxAttempts: 1 } })
class ParentWorkflow {
  async run({ open }: { open: boolean }, ctx: WorkflowContext): Promise<void> {
    const compensate = (id: string): Promise<string> => act(`undo child ${id}`);
    const done = ctx.invoke(OrderWorkflow, { cents: 1 }, { compensate });
    if (!open) await done;
    const waiting = open ? ctx.invoke(OrderWorkflow, { cents: 2, waits: true }, { key: 'open', compensate }) : undefined;
    await Promise.all([done, waiting, ctx.step('mail', () => act('mail'))]);
  }
}

@Workflow({ name: 'family', retry: { maxAttempts: 1 } })
class FamilyWorkflow {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    await ctx.invokeMany(OrderWorkflow, [{ cents: 1 }, { cents: 2 }], { compensate: (id) => act(`undo child ${id}`), maxInFlight: 1 });
    await ctx.step('mail', () => act('mail'));
  }
}

@Workflow({ name: 'parallel', compensation: 'parallel', retry: { maxAttempts: 1 } })
class ParallelWorkflow {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    for (const what of ['a', 'b', 'c']) await ctx.step(what, { compensate: () => act(`undo ${what}`) }, () => act(what));
    await ctx.step('ship', () => act('ship'));
  }
}

/** A saga that is undone in parallel, while another branch calls steps. */
@Workflow({ name: 'beside', compensation: 'parallel', retry: { maxAttempts: 1 } })
class BesideWorkflow {
  async run(_input: void, ctx: WorkflowContext): Promise<string> {
    const saga = ctx.saga(async () => {
      for (const what of ['a', 'b']) await ctx.step(what, { compensate: () => act(`undo ${what}`) }, () => act(what));
      await ctx.step('meal', () => act('meal'));
    });
    saga.catch(() => undefined);
    await ctx.waitForSignal(go);
    await ctx.step('first', () => act('first'));
    await ctx.step('second', () => act('second'));
    return saga.then(
      () => 'eaten',
      () => 'hungry',
    );
  }
}

const end = defineSignal('end');

/** Loses the race for a child that continues, is suspended, and fails. */
@Workflow({ name: 'impatient', retry: { maxAttempts: 1 } })
class ImpatientWorkflow {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    const compensate = (id: string): Promise<string> => act(`undo child ${id}`);
    await ctx.race({
      child: () => ctx.invoke(OrderWorkflow, { cents: 3, waits: true }, { compensate, onCancel: 'leave' }),
      late: () => ctx.waitForSignal(go),
    });
    await ctx.waitForSignal(end);
    throw new NonRetryableError('sold out');
  }
}

@Workflow({
  name: 'checked',
  input: {
    '~standard': {
      version: 1,
      vendor: 'test',
      types: undefined as { input: string; output: string } | undefined,
      validate: async (value: unknown) => ({ value: (await act(`check ${String(value)}`)) && (value as string) }),
    },
  },
})
class CheckedWorkflow {
  async run(input: string): Promise<string> {
    return act(`child ${input}`);
  }
}

/** Loses the race for a child whose input is still being validated. */
@Workflow({ name: 'hasty' })
class HastyWorkflow {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    const compensate = (id: string): Promise<string> => act(`undo ${id}`);
    await ctx.race({ child: () => ctx.invoke(CheckedWorkflow, 'a', { compensate }), quick: () => ctx.step('quick', () => act('quick')) });
    await ctx.waitForSignal(go);
  }
}

describe('sagas', () => {
  let app: TestApplication;
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
    app = await startApplication(
      database.url,
      [
        OrderWorkflow,
        TripWorkflow,
        SoloWorkflow,
        ParallelWorkflow,
        ParentWorkflow,
        FamilyWorkflow,
        BesideWorkflow,
        ImpatientWorkflow,
        CheckedWorkflow,
        HastyWorkflow,
      ],
      {
        worker: { suspendAfter: 20 },
      },
    );
  });
  beforeEach(() => {
    log = [];
    broken = new Set();
    held = new Set();
  });
  afterAll(async () => {
    await app.close();
    await database.drop();
  });

  const failed = async (runId: string): Promise<WorkflowFailedError> => {
    const error: unknown = await app.client
      .getHandle(runId)
      .result({ timeout: seconds(30) })
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(WorkflowFailedError);
    return error as WorkflowFailedError;
  };
  const keysOf = async (runId: string): Promise<string[]> => (await app.client.steps(runId)).map(({ stepKey }) => stepKey);
  const refund = 'refund 5 of 5 for charge';

  it('undo the steps of a failed run in reverse order, with their outputs and arguments', async () => {
    broken = new Set(['ship']);
    const { runId } = await app.client.start(OrderWorkflow, { cents: 5 });
    expect((await failed(runId)).cause).toMatchObject({ stepKey: 'ship' });
    expect(log).toEqual(['reserve 2 book', 'charge', 'ship', refund, 'release 2 book']);
    const steps = await app.client.steps(runId);
    expect(steps.map(({ stepKey, kind, compensateArgs }) => [stepKey, kind, compensateArgs])).toEqual([
      ['reserve', 'step', ['book', 2]],
      ['charge', 'step', [{ cents: 5 }]],
      ['ship', 'step', undefined],
      ['$compensating', 'compensating', undefined],
      ['$compensate:charge', 'compensation', undefined],
      ['$compensate:reserve', 'compensation', undefined],
      ['$compensated', 'compensated', undefined],
    ]);
    const { entries } = await app.client.history(runId);
    expect(entries.map(({ kind }) => kind).filter((kind) => kind.includes('compensation'))).toEqual([
      'compensation_started',
      'compensation_completed',
      'compensation_completed',
      'compensation_ended',
    ]);
    expect(await app.client.describe(runId)).toMatchObject({ status: 'failed', compensatingSince: expect.any(Date) });
  });

  it('leave a completed run alone', async () => {
    await app.client.execute(OrderWorkflow, { cents: 5 });
    expect(log).toEqual(['reserve 2 book', 'charge', 'ship']);
  });

  it('allow no retry of an undone run, and a fork only from the undone steps or earlier', async () => {
    broken = new Set(['ship']);
    const { runId } = await app.client.start(OrderWorkflow, { cents: 5 });
    await failed(runId);
    await expect(app.client.retry(runId)).rejects.toMatchObject({ code: 'RUN_NOT_RETRYABLE', reason: 'compensated' });
    await expect(app.client.retry(runId, { fromStep: 'ship' })).rejects.toBeInstanceOf(RunNotRetryableError);
    await expect(app.client.fork(runId, { fromStep: 'ship' })).rejects.toBeInstanceOf(InvalidInputError);
    broken = new Set();
    const fork = await app.client.fork(runId, { fromStep: 'reserve' });
    expect(await fork.result()).toBe('charge');
  });

  it('undo the steps of a cancelled run, which is compensating meanwhile', async () => {
    held = new Set([refund]);
    const handle = await app.client.start(OrderWorkflow, { cents: 5, waits: true });
    await waitFor(async () => (await handle.describe()).waitingFor.some(({ kind }) => kind === 'signal'));
    await handle.cancel();
    await waitFor(() => log.includes(refund));
    const { status, waitingFor, waits } = await handle.describe();
    expect({ status, waits }).toEqual({ status: 'running', waits: [] });
    expect(waitingFor).toContainEqual(expect.objectContaining({ kind: 'compensation', text: expect.stringContaining('compensating') }));
    await handle.cancel();
    held = new Set();
    await expect(handle.result()).rejects.toBeInstanceOf(WorkflowCancelledError);
    expect(log).toEqual(['reserve 2 book', 'charge', refund, 'release 2 book']);
    expect((await handle.describe()).status).toBe('cancelled');
  });

  it('undo the steps of a run after its timeout', async () => {
    held = new Set([refund]);
    const handle = await app.client.start(OrderWorkflow, { cents: 5, waits: true }, { timeout: '1 hour' });
    await waitFor(async () => (await handle.status()) === 'waiting');
    await database.query(`UPDATE durable.workflow_runs SET deadline_at = now() WHERE id = $1`, [handle.runId]);
    await handle.signal(poke);
    await waitFor(() => log.includes(refund));
    held = new Set();
    expect((await failed(handle.runId)).cause).toBeInstanceOf(WorkflowTimeoutError);
    expect(log.slice(2)).toEqual([refund, 'release 2 book']);
  });

  it('execute nothing when the run is terminated', async () => {
    const handle = await app.client.start(OrderWorkflow, { cents: 5, waits: true });
    await waitFor(() => log.includes('charge'));
    await app.client.terminate(handle.runId);
    await expect(handle.result()).rejects.toMatchObject({ code: 'TERMINATED' });
    expect(log).toEqual(['reserve 2 book', 'charge']);
  });

  it('suspend the run while a compensation waits for its next attempt, and accept a pause', async () => {
    broken = new Set(['ship', refund]);
    const handle = await app.client.start(OrderWorkflow, { cents: 5 });
    await waitFor(async () => (await handle.status()) === 'waiting');
    const { waits, waitingFor } = await handle.describe();
    expect(waits).toMatchObject([{ stepKey: '$compensate:charge', kind: 'retry', attempts: 1 }]);
    expect(waitingFor.map(({ kind }) => kind)).toEqual(['compensation', 'retry']);
    await app.client.pause(handle.runId);
    expect(await handle.status()).toBe('paused');
    await app.client.resume(handle.runId);
    broken = new Set(['ship']);
    await database.query(`UPDATE durable.workflow_waits SET wake_at = now() WHERE run_id = $1`, [handle.runId]);
    await handle.signal(poke);
    await failed(handle.runId);
    expect(log.slice(3)).toEqual([refund, refund, 'release 2 book']);
  });

  it('end a run as failed when a compensation fails, and a retry continues with this compensation', async () => {
    broken = new Set(['ship', 'release 2 book']);
    const { runId } = await app.client.start(OrderWorkflow, { cents: 5 });
    const { cause } = await failed(runId);
    expect(cause).toBeInstanceOf(CompensationFailedError);
    const { errors, cause: first } = cause as CompensationFailedError;
    expect(first).toMatchObject({ stepKey: 'ship' });
    expect(errors).toMatchObject([{ stepKey: '$compensate:reserve', cause: { message: 'release 2 book is broken' } }]);
    expect((await app.client.list({ errorCode: 'COMPENSATION_FAILED' })).runs).toMatchObject([{ runId, failedStep: 'ship' }]);
    await expect(app.client.retry(runId, { fromStep: 'charge' })).rejects.toMatchObject({ reason: 'compensating' });
    await app.client.retry(runId);
    await failed(runId);
    broken = new Set();
    await app.client.retry(runId, { fromStep: '$compensate:reserve' });
    expect((await failed(runId)).cause).toMatchObject({ stepKey: 'ship' });
    expect(log.slice(3)).toEqual([refund, 'release 2 book', 'release 2 book', 'release 2 book']);
  });

  it('end a cancelled run as cancelled after an operator has undone a step by hand', async () => {
    broken = new Set(['release 2 book']);
    const handle = await app.client.start(OrderWorkflow, { cents: 5, waits: true });
    await waitFor(() => log.includes('charge'));
    await handle.cancel();
    expect((await failed(handle.runId)).cause).toMatchObject({ code: 'COMPENSATION_FAILED', cause: { code: 'WORKFLOW_CANCELLED' } });
    await app.client.resolveStep(handle.runId, '$compensate:reserve', { output: null });
    await expect(handle.result()).rejects.toBeInstanceOf(WorkflowCancelledError);
    expect(log).toEqual(['reserve 2 book', 'charge', refund, 'release 2 book']);
  });

  it('execute all compensations of a parallel workflow, and keep all errors', async () => {
    broken = new Set(['ship', 'undo a', 'undo c']);
    const { runId } = await app.client.start(ParallelWorkflow);
    const { errors } = (await failed(runId)).cause as CompensationFailedError;
    expect(errors.map((error) => (error as StepFailedError).stepKey)).toEqual(['$compensate:c', '$compensate:a']);
    broken = new Set(['ship']);
    log = [];
    await app.client.retry(runId);
    expect((await failed(runId)).cause).toMatchObject({ stepKey: 'ship' });
    expect(log.sort()).toEqual(['undo a', 'undo c']);
  });

  it('undo the steps of a failed ctx.saga, after which the run tries something else', async () => {
    broken = new Set(['meal a']);
    expect(await app.client.execute(TripWorkflow)).toBe('b');
    expect(log).toEqual(['taxi', 'seat a', 'meal a', 'undo seat a', 'seat b', 'meal b', 'mail']);
  });

  it('undo the steps of a completed ctx.saga when the run fails later', async () => {
    broken = new Set(['mail']);
    await failed((await app.client.start(TripWorkflow)).runId);
    expect(log.slice(3)).toEqual(['mail', 'undo meal a', 'undo seat a', 'undo taxi']);
  });

  it('end the run when a compensation in ctx.saga fails, and a retry continues the saga', async () => {
    broken = new Set(['meal a', 'undo seat a']);
    const handle = await app.client.start(TripWorkflow);
    expect((await failed(handle.runId)).cause).toMatchObject({ code: 'COMPENSATION_FAILED', cause: { stepKey: 'meal a' } });
    broken = new Set();
    await app.client.retry(handle.runId);
    expect(await handle.result()).toBe('b');
    expect(log).toEqual(['taxi', 'seat a', 'meal a', 'undo seat a', 'undo seat a', 'seat b', 'meal b', 'mail']);
    expect(await keysOf(handle.runId)).toContain('$compensate:seat a');
  });

  it('continue after a retry when other branches made calls after a compensation had failed', async () => {
    broken = new Set(['meal', 'undo b']);
    held = new Set(['undo a']);
    const handle = await app.client.start(BesideWorkflow);
    await waitFor(async () => (await keysOf(handle.runId)).includes('$compensate:b'));
    await handle.signal(go);
    await waitFor(async () => (await keysOf(handle.runId)).includes('second'));
    held = new Set();
    expect((await failed(handle.runId)).cause).toBeInstanceOf(CompensationFailedError);
    broken = new Set(['meal']);
    log = [];
    await app.client.retry(handle.runId);
    expect(await handle.result({ timeout: seconds(30) })).toBe('hungry');
    expect(log).toEqual(['undo b']);
  });

  it('undo a completed child by the function of its parent', async () => {
    broken = new Set(['mail']);
    await failed((await app.client.start(ParentWorkflow, { open: false })).runId);
    expect(log).toEqual(['reserve 2 book', 'charge', 'ship', 'mail', 'undo child charge']);
  });

  it('undo each completed child of ctx.invokeMany', async () => {
    broken = new Set(['mail']);
    await failed((await app.client.start(FamilyWorkflow)).runId);
    const child = ['reserve 2 book', 'charge', 'ship'];
    expect(log).toEqual([...child, ...child, 'mail', 'undo child charge', 'undo child charge']);
  });

  it('cancel an open child, which undoes its own steps, before the parent undoes the others', async () => {
    broken = new Set(['mail']);
    held = new Set(['mail']);
    const { runId } = await app.client.start(ParentWorkflow, { open: true });
    await waitFor(() => log.filter((each) => each === 'charge').length === 2 && log.includes('ship'));
    held = new Set();
    await failed(runId);
    const undone = log.slice(log.indexOf('mail') + 1).filter((each) => /^(?:undo|refund|release)/.test(each));
    expect(undone).toEqual(['refund 2 of 2 for charge', 'release 2 book', 'undo child charge']);
    const { children } = await app.client.describe(runId);
    expect(children.map(({ status }) => status).sort()).toEqual(['cancelled', 'completed']);
  });

  it('cancel an open child when the parent is cancelled, and wait for its end', async () => {
    held = new Set(['mail']);
    const handle = await app.client.start(ParentWorkflow, { open: true });
    await waitFor(() => log.filter((each) => each === 'charge').length === 2 && log.includes('ship'));
    await waitFor(async () => (await handle.describe()).waitingFor.filter(({ kind }) => kind === 'child').length === 1);
    await handle.cancel();
    await waitFor(() => log.includes('undo child charge'));
    await expect(handle.result()).rejects.toBeInstanceOf(WorkflowCancelledError);
    expect(log.slice(-3)).toEqual(['refund 2 of 2 for charge', 'release 2 book', 'undo child charge']);
  });

  it('wait for the end of a child that lost a race and continues, and undo the child, after a suspension', async () => {
    const handle = await app.client.start(ImpatientWorkflow);
    await waitFor(() => log.includes('charge'));
    await handle.signal(go);
    await waitFor(async () => {
      const { status, waitingFor } = await handle.describe();
      return status === 'waiting' && waitingFor.some(({ name }) => name === 'end');
    });
    await handle.signal(end);
    const [child] = (await app.client.list({ parentRunId: handle.runId })).runs;
    await waitFor(async () => (await handle.describe()).compensatingSince !== undefined);
    await app.client.signal(child!.runId, go);
    expect((await failed(handle.runId)).cause).toMatchObject({ message: 'sold out' });
    expect(log).toEqual(['reserve 2 book', 'charge', 'ship', 'undo child charge']);
  });

  it('start no child whose input was still being validated when the race was lost', async () => {
    held = new Set(['check a']);
    const handle = await app.client.start(HastyWorkflow);
    await waitFor(async () => (await keysOf(handle.runId)).includes('quick'));
    await waitFor(async () => (await handle.describe()).waitingFor.some(({ kind }) => kind === 'signal'));
    held.clear();
    await handle.signal(go);
    await handle.result();
    expect(await app.client.count({ parentRunId: handle.runId })).toBe(0);
    expect(log).toEqual(expect.not.arrayContaining(['child a']));
  });

  it('allow no retry and no fork from a step that relies on an undone one', async () => {
    broken = new Set(['meal']);
    const { runId } = await app.client.start(SoloWorkflow);
    expect((await failed(runId)).cause).toMatchObject({ stepKey: 'meal' });
    expect(await keysOf(runId)).toEqual(['seat', 'meal', 'saga', '$compensate:seat']);
    await expect(app.client.retry(runId)).rejects.toMatchObject({ code: 'RUN_NOT_RETRYABLE', reason: 'undone' });
    await expect(app.client.fork(runId, { fromStep: 'meal' })).rejects.toThrow('comes after step "seat", which was undone');
    broken = new Set();
    await app.client.retry(runId, { fromStep: 'seat' });
    await app.client.getHandle(runId).result();
    expect(log.slice(3)).toEqual(['seat', 'meal']);
  });

  it('allow no fork of steps that the run is about to undo, or will undo after a retry', async () => {
    broken = new Set(['ship']);
    held = new Set([refund]);
    const { runId } = await app.client.start(OrderWorkflow, { cents: 5 });
    await waitFor(() => log.includes(refund));
    await expect(app.client.fork(runId, { fromStep: 'ship' })).rejects.toThrow('comes after step "reserve", which was undone or is to be');
    broken.add(refund);
    held.clear();
    // The refund has two attempts, a minute apart. The retry gives it two more.
    await app.client.resolveStep(runId, '$compensate:charge', { error: new Error('closed') });
    expect((await failed(runId)).cause).toBeInstanceOf(CompensationFailedError);
    await expect(app.client.fork(runId, { fromStep: 'charge' })).rejects.toThrow(
      'comes after step "reserve", which was undone or is to be',
    );
    broken.clear();
    expect(await (await app.client.fork(runId, { fromStep: 'reserve' })).result()).toBe('charge');

    log = [];
    broken = new Set(['meal a']);
    held = new Set(['undo seat a']);
    const trip = await app.client.start(TripWorkflow);
    await waitFor(() => log.includes('undo seat a'));
    await expect(app.client.fork(trip.runId, { fromStep: 'meal a' })).rejects.toThrow('which was undone or is to be');
    held.clear();
    expect(await trip.result()).toBe('b');
    broken.clear();
    // The taxi was not undone, so a fork may copy it.
    expect(await (await app.client.fork(trip.runId, { fromStep: 'seat a' })).result()).toBe('a');
  });

  it('undo a step whose result an operator has entered after the run had failed', async () => {
    broken = new Set(['seat']);
    const { runId } = await app.client.start(SoloWorkflow);
    await failed(runId);
    broken = new Set(['meal']);
    await app.client.resolveStep(runId, 'seat', { output: 'seat by hand' });
    await waitFor(async () => (await app.client.describe(runId)).status === 'failed' && log.includes('meal'));
    expect(log).toEqual(['seat', 'meal', 'undo seat']);
  });

  it('do not undo steps that a fork has copied', async () => {
    const { runId } = await app.client.start(TripWorkflow);
    await app.client.getHandle(runId).result();
    log = [];
    broken = new Set(['mail']);
    await failed((await app.client.fork(runId, { fromStep: 'meal a' })).runId);
    expect(log).toEqual(['meal a', 'mail', 'undo meal a']);
  });

  it('keep their failure in a fork, which executes no compensation again', async () => {
    broken = new Set(['meal a']);
    const { runId } = await app.client.start(TripWorkflow);
    await app.client.getHandle(runId).result();
    log = [];
    const fork = await app.client.fork(runId, { fromStep: 'mail' });
    expect(await fork.result()).toBe('b');
    expect(log).toEqual(['mail']);
  });

  it('take the result of an operator for a compensation that waits for its next attempt', async () => {
    broken = new Set(['ship', refund]);
    const handle = await app.client.start(OrderWorkflow, { cents: 5 });
    await waitFor(async () => (await handle.status()) === 'waiting');
    await app.client.resolveStep(handle.runId, '$compensate:charge', { output: null }, { actor: 'ann', reason: 'by hand' });
    expect((await failed(handle.runId)).cause).toMatchObject({ stepKey: 'ship' });
    expect(log.slice(3)).toEqual([refund, 'release 2 book']);
  });

  it('undo the steps of a blocked run whose deadline has passed, once it is resumed', async () => {
    const handle = await app.client.start(OrderWorkflow, { cents: 5, waits: true }, { timeout: '1 hour' });
    await waitFor(async () => (await handle.status()) === 'waiting');
    await database.query(
      `UPDATE durable.workflow_runs SET deadline_at = now() - interval '1 hour', is_blocked = true, blocked_deployments = '{other}' WHERE id = $1`,
      [handle.runId],
    );
    await app.client.resume(handle.runId);
    expect((await failed(handle.runId)).cause).toBeInstanceOf(WorkflowTimeoutError);
    expect(log.slice(2)).toEqual([refund, 'release 2 book']);
  });
});
