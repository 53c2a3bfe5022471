// The compiler checks this file (npm run lint:types): it must report each marked line and no other.
import { Scope } from '@nestjs/common';

import { currentStep, Step, Workflow, WorkflowModule, type WorkflowContext } from '../../src/index.js';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const exactly = <A, B>(_same: Equal<A, B>): void => undefined;

interface Order {
  id: number;
}

@Workflow({ name: 'steps' })
export class Steps {
  async run(order: Order, ctx: WorkflowContext): Promise<void> {
    // A decorated method keeps its type.
    const charged = await this.charge(order, 5);
    exactly<typeof charged, string>(true);
    // @ts-expect-error -- the amount is missing
    await this.charge(order);

    const inline = await ctx.step('inline', () => 5);
    exactly<typeof inline, number>(true);
    const awaited = await ctx.step('awaited', { timeout: '5s', retry: { maxAttempts: 2 } }, async () => ({ a: 1 }));
    exactly<typeof awaited, { a: number }>(true);
    const nothing = await ctx.sleep('5s');
    exactly<typeof nothing, void>(true);
    await ctx.sleepUntil(new Date());
    // @ts-expect-error -- a Date is not a duration
    await ctx.sleep(new Date());
    // @ts-expect-error -- a duration is not a Date
    await ctx.sleepUntil('5s');
    // @ts-expect-error -- the body is missing
    await ctx.step('empty');
    // @ts-expect-error -- a misspelt option
    await ctx.step('misspelt', { timeuot: 5 }, () => 1);
    // @ts-expect-error -- a key is a string
    await ctx.step('keyed', { key: 5 }, () => 1);
    exactly<ReturnType<typeof currentStep>['attempt'], number>(true);
    const response = new Response('a');
    const texts = await ctx.step('pipe', () => ctx.stream<string>('texts').writeAll(response.body!.pipeThrough(new TextDecoderStream())));
    exactly<typeof texts, string[]>(true);
    // @ts-expect-error -- the source yields numbers
    await ctx.stream<string>('texts').writeAll(new ReadableStream<number>());
    // @ts-expect-error -- an array is no async iterable
    await ctx.stream<string>('texts').writeAll(['a']);
    // @ts-expect-error -- the run's id is fixed
    ctx.runId = 'x';
  }

  @Step()
  async charge(_order: Order, _amount: number): Promise<string> {
    return currentStep().idempotencyKey;
  }

  @Step({ name: 'refund', key: (order: Order, amount: number) => `${order.id}/${amount}`, retry: { maxAttempts: 5 }, timeout: '30s' })
  async refund(_order: Order, _amount: number): Promise<void> {}

  @Step({ key: (order: Order) => String(order.id) })
  async keyedByItsFirst(_order: Order, _amount: number): Promise<void> {}

  @Step({ key: ({ id }: { id: number }) => String(id) })
  async keyedByLessOfIt(_order: Order & { cents: number }): Promise<void> {}

  @Step({ key: (ids: readonly string[]) => ids.join() })
  async keyedByReadOnly(_ids: string[]): Promise<void> {}

  @Step({ key: (_order: unknown, id: string | number) => String(id) })
  async keyedByWhatIsWider(_order: Order, _id: 'a' | 'b'): Promise<void> {}

  @Step({ key: (order?: Order) => String(order?.id) })
  async keyedByWhatMayBeAbsent(_order?: Order): Promise<void> {}

  // @ts-expect-error -- the order may be absent, but the key function requires one
  @Step({ key: (order: Order) => String(order.id) })
  async keyOfWhatMayBeAbsent(_order?: Order): Promise<void> {}

  @Step({ key: (...ids: string[]) => ids.join() })
  async keyedByAll(..._ids: string[]): Promise<void> {}

  // @ts-expect-error -- the numbers are not strings
  @Step({ key: (...ids: string[]) => ids.join() })
  async keyOfOtherRest(..._ids: number[]): Promise<void> {}

  @Step({ key: () => 'one' })
  async keyedByNothing(_order: Order): Promise<void> {}

  // @ts-expect-error -- a step must be async
  @Step()
  sync(_order: Order): string {
    return 'sync';
  }

  // @ts-expect-error -- the key function has other parameters than the step
  @Step({ key: (customer: string) => customer })
  async keyOfOthers(_order: Order): Promise<void> {}

  // @ts-expect-error -- the key function has more parameters than the step
  @Step({ key: (order: Order, amount: number) => `${order.id}/${amount}` })
  async keyOfMore(_order: Order): Promise<void> {}

  // @ts-expect-error -- a key is a string
  @Step({ key: (order: Order) => order.id })
  async keyIsANumber(_order: Order): Promise<void> {}

  // @ts-expect-error -- a misspelt option
  @Step({ timeuot: '5s' })
  async misspelt(): Promise<void> {}

  // @ts-expect-error -- a misspelt option of retry
  @Step({ retry: { maxAttemps: 5 } })
  async misspeltRetry(): Promise<void> {}

  // @ts-expect-error -- a property is not a method
  @Step()
  readonly property = 5;
}

// @ts-expect-error -- a workflow must have a name
@Workflow({})
export class Nameless {}

// @ts-expect-error -- a version is a number
@Workflow({ name: 'odd', version: '2' })
export class OddVersion {}

export const modules = [
  WorkflowModule.forRoot(),
  WorkflowModule.forRoot({ worker: false, listen: { url: 'x' }, defaults: { stepTimeout: '1m' } }),
  WorkflowModule.forRoot({ connection: { embedded: true } }),
  WorkflowModule.forRootAsync({ inject: ['URL'], useFactory: (url: string) => ({ connection: { url } }) }),
  WorkflowModule.forRootAsync({ useFactory: async () => ({ worker: { concurrency: 5 } }) }),
  // @ts-expect-error -- a misspelt option
  WorkflowModule.forRoot({ shcema: 'x' }),
  // @ts-expect-error -- true is not a worker option
  WorkflowModule.forRoot({ worker: true }),
  // @ts-expect-error -- the factory's result is checked too
  WorkflowModule.forRootAsync({ useFactory: () => ({ worker: { concurrency: 'many' } }) }),
];

@Workflow({ name: 'in-a-module', module: 'billing', scope: Scope.REQUEST })
export class InAModule {
  async run(): Promise<void> {}
}

// @ts-expect-error -- only the two documented instance scopes exist
Workflow({ name: 'transient', scope: Scope.TRANSIENT });
// @ts-expect-error -- a module name is a string
Workflow({ name: 'odd', module: 5 });

WorkflowModule.forRoot({ name: 'billing', enhancers: ['guards', 'interceptors'] });
// @ts-expect-error -- exception filters do not apply to steps
WorkflowModule.forRoot({ enhancers: ['filters'] });
