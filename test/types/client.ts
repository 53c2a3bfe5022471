// The compiler checks this file (npm run lint:types): it must report each marked line and no other.
import {
  defineSignal,
  Workflow,
  workflowRef,
  type FailureGroup,
  type RunDescription,
  type RunFilter,
  type RunPage,
  type WorkflowClient,
  type WorkflowContext,
  type WorkflowHandle,
  type WorkflowRef,
} from '../../src/index.js';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const exactly = <A, B>(_same: Equal<A, B>): void => undefined;

interface Order {
  id: number;
  note?: string;
}
interface Receipt {
  total: number;
}

@Workflow({ name: 'order' })
class OrderWorkflow {
  constructor(readonly service: { charge(): void }) {}
  async run(_order: Order, _ctx: WorkflowContext): Promise<Receipt> {
    return { total: 1 };
  }
}

@Workflow({ name: 'nightly', version: 2, queue: 'night', retry: { maxAttempts: 2 } })
class NightlyWorkflow {
  async run(): Promise<void> {}
}

@Workflow({ name: 'void' })
class VoidWorkflow {
  async run(_input: void, _ctx: WorkflowContext): Promise<string> {
    return '';
  }
}

@Workflow({ name: 'optional' })
class OptionalWorkflow {
  async run(_input?: { force: boolean }): Promise<number> {
    return 1;
  }
}

@Workflow({ name: 'union' })
class UnionWorkflow {
  async run(_input: string | number): Promise<'a' | 'b'> {
    return 'a';
  }
}

@Workflow({ name: 'anything' })
class AnyWorkflow {
  async run(input: any, ctx: WorkflowContext): Promise<any> {
    await ctx.invoke(AnyWorkflow, { a: 1 });
    await ctx.start(AnyWorkflow, 1);
    return ctx.continueAsNew(AnyWorkflow, input);
  }
}

const approvedBy = defineSignal<{ by: string }>('approved');

class SyncWorkflow {
  run(_order: Order): Receipt {
    return { total: 1 };
  }
}

class NoRun {}

export async function inference(client: WorkflowClient): Promise<void> {
  const handle = await client.start(OrderWorkflow, { id: 1 });
  exactly<typeof handle, WorkflowHandle<Receipt>>(true);
  const result = await handle.result({ timeout: '5m' });
  exactly<typeof result, Receipt>(true);
  const description = await handle.describe();
  exactly<typeof description, RunDescription<Receipt>>(true);
  exactly<typeof description.output, Receipt | undefined>(true);

  const executed = await client.execute(OrderWorkflow, { id: 1, note: 'x' }, { id: 'x', tags: { a: 'b' } });
  exactly<typeof executed, Receipt>(true);
  for await (const token of handle.stream<string>('answer', { from: -10 })) token.toUpperCase();
  for await (const event of handle.stream<string>('answer', { form: 'events' })) {
    if (event.type === 'chunk') event.value.toUpperCase();
  }
  // @ts-expect-error: there is no such form.
  handle.stream('answer', { form: 'raw' });
  const got = client.getHandle(OrderWorkflow, 'id');
  exactly<typeof got, WorkflowHandle<Receipt>>(true);
  const byId = client.getHandle('id');
  exactly<typeof byId, WorkflowHandle>(true);
  const typed = client.getHandle<Receipt>('id');
  exactly<typeof typed, WorkflowHandle<Receipt>>(true);
  const many = await client.startMany(OrderWorkflow, [{ id: 1 }], (order, index) => ({ id: `${order.id}-${index}` }));
  exactly<typeof many, WorkflowHandle<Receipt>[]>(true);

  const union = await client.execute(UnionWorkflow, 5);
  exactly<typeof union, 'a' | 'b'>(true);
}

export async function inputs(client: WorkflowClient): Promise<void> {
  // @ts-expect-error -- the input is missing
  await client.start(OrderWorkflow);
  // @ts-expect-error -- an id is a number
  await client.start(OrderWorkflow, { id: '1' });
  // @ts-expect-error -- an order has an id
  await client.start(OrderWorkflow, {});
  // @ts-expect-error -- an order has no such property
  await client.start(OrderWorkflow, { id: 1, nope: 1 });
  // @ts-expect-error -- undefined is not an order
  await client.start(OrderWorkflow, undefined);
  // @ts-expect-error -- the input argument is missing before the options
  await client.start(NightlyWorkflow, { id: 'nightly' });
  await client.start(NightlyWorkflow, undefined, { id: 'nightly' });
  // @ts-expect-error -- undefined is not an order
  await client.startMany(OrderWorkflow, [undefined]);
  // @ts-expect-error -- one input has the wrong type
  await client.startMany(OrderWorkflow, [{ id: '1' }]);
  // @ts-expect-error -- the input is missing
  await client.execute(OrderWorkflow);
  // @ts-expect-error -- a value that is neither a string nor a number
  await client.start(UnionWorkflow, true);
  await client.start(UnionWorkflow, 'x');

  // A workflow with a void input needs no argument.
  await client.start(VoidWorkflow);
  await client.start(VoidWorkflow, undefined, { id: 'x' });
  await client.execute(VoidWorkflow);
  // @ts-expect-error -- the workflow has no input
  await client.start(VoidWorkflow, { id: 1 });
  await client.start(NightlyWorkflow);
  await client.start(NightlyWorkflow, undefined, { delay: '1h' });
  const nothing = await client.execute(NightlyWorkflow);
  exactly<typeof nothing, void>(true);

  await client.start(OptionalWorkflow);
  await client.start(OptionalWorkflow, { force: true });
  // @ts-expect-error -- force is a boolean
  await client.start(OptionalWorkflow, { force: 1 });
}

export async function anything(client: WorkflowClient): Promise<void> {
  await client.start(AnyWorkflow, { a: 1 }, { id: 'x' });
  await client.start(AnyWorkflow);
  await client.execute(AnyWorkflow, 'x');
  await client.startMany(AnyWorkflow, [{ a: 1 }, 2]);
  await client.start(workflowRef<any, any>('anything'), { a: 1 });
}

export async function moments(handle: WorkflowHandle): Promise<void> {
  await handle.result({ timeout: new Date() });
  // @ts-expect-error -- neither a duration nor a Date
  await handle.result({ timeout: true });
}

export async function classes(client: WorkflowClient): Promise<void> {
  // @ts-expect-error -- run must be async
  await client.start(SyncWorkflow, { id: 1 });
  // @ts-expect-error -- the class has no run method
  await client.start(NoRun);
  // @ts-expect-error -- an instance is not a class
  await client.start(new OrderWorkflow({ charge: () => undefined }), { id: 1 });
}

export async function references(client: WorkflowClient): Promise<void> {
  const order = workflowRef<Order, Receipt>('order');
  exactly<typeof order, WorkflowRef<Order, Receipt>>(true);
  const handle = await client.start(order, { id: 1 });
  exactly<typeof handle, WorkflowHandle<Receipt>>(true);
  const result = await client.execute(order, { id: 1 });
  exactly<typeof result, Receipt>(true);
  const got = client.getHandle(order, 'id');
  exactly<typeof got, WorkflowHandle<Receipt>>(true);
  // @ts-expect-error -- the input is missing
  await client.start(order);
  // @ts-expect-error -- an id is a number
  await client.start(order, { id: '1' });
  await client.start(workflowRef<void, string>('void'));
  // @ts-expect-error -- the workflow has no input
  await client.start(workflowRef<void, string>('void'), 1);

  const byName = await client.start('order', { anything: 'goes' });
  exactly<typeof byName, WorkflowHandle>(true);
  const many = await client.startMany('order', [1, 'x']);
  exactly<typeof many, WorkflowHandle[]>(true);
}

export async function options(client: WorkflowClient): Promise<void> {
  await client.start(OrderWorkflow, { id: 1 }, { delay: 5, priority: 1, queue: 'x', onConflict: 'reject', startAt: new Date() });
  // @ts-expect-error -- a misspelt option
  await client.start(OrderWorkflow, { id: 1 }, { dealy: 5 });
  // @ts-expect-error -- no such value of onConflict
  await client.start(OrderWorkflow, { id: 1 }, { onConflict: 'replace' });
  // @ts-expect-error -- a delay is not a Date
  await client.start(OrderWorkflow, { id: 1 }, { delay: new Date() });
  // @ts-expect-error -- tags are strings
  await client.start(OrderWorkflow, { id: 1 }, { tags: { a: 1 } });
  // @ts-expect-error -- execute would wait for its own commit
  await client.execute(OrderWorkflow, { id: 1 }, { manager: {} });
  await client.execute(OrderWorkflow, { id: 1 }, { manager: 'none' });
  await client.start(OrderWorkflow, { id: 1 }, { manager: 'none' });
  // @ts-expect-error -- null is probably a forgotten manager
  await client.start(OrderWorkflow, { id: 1 }, { manager: null });
  await client.cancel('id', { manager: 'none' });
  // @ts-expect-error -- all runs would have the same id
  await client.startMany(OrderWorkflow, [{ id: 1 }], { id: 'x' });
  // @ts-expect-error -- a misspelt option
  await client.cancel('id', { raeson: 'x' });
}

export async function listings(client: WorkflowClient): Promise<void> {
  const page = await client.list({ name: ['order', 'invoice'], version: 1, status: 'failed', tags: { customer: '7' }, limit: 10 });
  exactly<typeof page, RunPage>(true);
  exactly<typeof page.cursor, string | undefined>(true);
  exactly<(typeof page.runs)[0]['finishedAt'], Date | undefined>(true);
  await client.list();
  await client.list({ cursor: page.cursor });
  const readOnly: Readonly<RunFilter> = { status: ['failed', 'cancelled'] as const, createdAfter: new Date() };
  const count = await client.count(readOnly);
  exactly<typeof count, number>(true);
  // @ts-expect-error -- a misspelt key
  await client.list({ naem: 'order' });
  // @ts-expect-error -- no such status
  await client.list({ status: 'done' });
  // @ts-expect-error -- a version is a number
  await client.list({ version: '1' });
  // @ts-expect-error -- a Date is required, not a string
  await client.list({ createdAfter: '2030-01-01' });
  // @ts-expect-error -- tags are strings
  await client.list({ tags: { a: 1 } });
  // @ts-expect-error -- count has no pages
  await client.count({ cursor: 'x' });

  const groups = await client.failures({ since: '1h', groupBy: ['workflow', 'errorCode'] });
  exactly<typeof groups, FailureGroup[]>(true);
  await client.failures({ since: new Date(), groupBy: 'failedStep', limit: 5 });
  // @ts-expect-error -- since is missing
  await client.failures({ groupBy: 'workflow' });
  // @ts-expect-error -- groupBy is missing
  await client.failures({ since: '1h' });
  // @ts-expect-error -- no such grouping
  await client.failures({ since: '1h', groupBy: 'queue' });
}

// Control of runs.
export async function controls(client: WorkflowClient): Promise<void> {
  exactly<WorkflowHandle, Awaited<ReturnType<WorkflowClient['fork']>>>(true);
  await client.resolveStep('id', 'charge', { output: 1 }, { actor: 'ann' });
  // @ts-expect-error -- an output or an error, not both
  await client.resolveStep('id', 'charge', { output: 1, error: new Error('x') });
  // @ts-expect-error -- the filter is missing
  await client.bulk.cancel({ dryRun: true });
  // @ts-expect-error -- dryRun is missing
  await client.bulk.cancel({ filter: { name: 'order' } });
  const { token } = await client.bulk.signal({ filter: { name: 'order' }, dryRun: true, signal: approvedBy, payload: { by: 'ann' } });
  // @ts-expect-error -- not the signal's payload type
  await client.bulk.signal({ filter: { name: 'order' }, dryRun: true, signal: approvedBy, payload: { by: 1 } });
  const { done } = await client.bulk.signal({ token, rate: 5 });
  exactly<number, typeof done>(true);
}
