// The compiler checks this file (npm run lint:types): it must report each marked line and no other.
import type { INestApplication } from '@nestjs/common';
import { Test, type TestingModule } from '@nestjs/testing';

import { defineSignal, Step, Workflow, type WorkflowContext } from '../../src/index.js';
import { replayHistory, runInMemory, sent, WorkflowTest } from '../../src/testing/index.js';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const exactly = <A, B>(_same: Equal<A, B>): void => undefined;

interface Order {
  id: number;
}

abstract class Payments {
  abstract charge(order: Order, cents: number): Promise<string>;
}

@Workflow({ name: 'typed' })
class TypedWorkflow {
  readonly label = 'typed';

  async run(order: Order, _ctx: WorkflowContext): Promise<{ charged: string }> {
    return { charged: await this.charge(order, 5) };
  }

  @Step()
  async charge(order: Order, cents: number): Promise<string> {
    await this.secret();
    return `${order.id} ${cents}`;
  }

  isLarge(order: Order): boolean {
    return order.id > 5;
  }

  @Step()
  private async secret(): Promise<void> {}
}

@Workflow({ name: 'without-input' })
class WithoutInput {
  async run(): Promise<number> {
    return 1;
  }
}

const approved = defineSignal<{ by: string }>('approved');
const poked = defineSignal('poked');

export async function fakes(test: WorkflowTest): Promise<void> {
  const faked = test.fakeStep(TypedWorkflow, 'charge', async (order, cents) => `${order.id} ${cents}`);
  exactly<typeof faked.calls, readonly [order: Order, cents: number][]>(true);
  test.fakeStep(TypedWorkflow, 'charge', () => 'a plain result');
  test.fakeStep(Payments, 'charge', (order: Order) => String(order.id));
  // @ts-expect-error -- a misspelt method
  test.fakeStep(TypedWorkflow, 'chrage', async () => 'x');
  // @ts-expect-error -- a fake with another result
  test.fakeStep(TypedWorkflow, 'charge', async () => 5);
  // @ts-expect-error -- a fake with other arguments
  test.fakeStep(TypedWorkflow, 'charge', async (order: string) => order);
  // @ts-expect-error -- a method that is not asynchronous is no step
  test.fakeStep(TypedWorkflow, 'isLarge', () => true);
  // @ts-expect-error -- a field is no step
  test.fakeStep(TypedWorkflow, 'label', () => 'x');
  // @ts-expect-error -- a private method
  test.fakeStep(TypedWorkflow, 'secret', async () => undefined);
  await test.advance('3 days');
  // @ts-expect-error -- not a duration
  await test.advance('3 dasy');
  await test.signalWhenWaiting('run', approved, { by: 'ann' });
  await test.signalWhenWaiting('run', poked);
  // @ts-expect-error -- the payload is missing
  await test.signalWhenWaiting('run', approved);
}

export async function inMemory(): Promise<void> {
  const { output } = await runInMemory(TypedWorkflow, { id: 1 }, { steps: { charge: async (order) => String(order.id) } });
  exactly<typeof output, { charged: string } | undefined>(true);
  await runInMemory(WithoutInput);
  await runInMemory(TypedWorkflow, { id: 1 }, { signals: [sent(approved, { by: 'ann' }, { after: '1h' }), sent(poked)] });
  // @ts-expect-error -- the input is missing
  await runInMemory(TypedWorkflow);
  // @ts-expect-error -- a misspelt step
  await runInMemory(TypedWorkflow, { id: 1 }, { steps: { chrage: async () => 'x' } });
  // @ts-expect-error -- a fake with another result
  await runInMemory(TypedWorkflow, { id: 1 }, { steps: { charge: async () => 5 } });
  // @ts-expect-error -- a payload of another type
  sent(approved, { by: 5 });
  await replayHistory(TypedWorkflow, '{}');
  // @ts-expect-error -- not an exported history
  await replayHistory(TypedWorkflow, { entries: [] });
}

export async function application(): Promise<void> {
  const test = await WorkflowTest.create(Test.createTestingModule({}), { application: (module) => module.createNestApplication() });
  const kept: WorkflowTest = test;
  const precise: WorkflowTest<TestingModule, INestApplication> = test;
  exactly<typeof precise.app, INestApplication>(true);
  const workflow = kept.module.get(TypedWorkflow);
  exactly<typeof workflow, TypedWorkflow>(true);
}
