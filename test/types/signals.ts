// The compiler checks this file (npm run lint:types): it must report each marked line and no other.
import { z } from 'zod';

import { defineSignal, type WorkflowClient, type WorkflowContext, type WorkflowHandle } from '../../src/index.js';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const exactly = <A, B>(_same: Equal<A, B>): void => undefined;

interface Approval {
  by: string;
}

const approved = defineSignal<Approval>('approved');
const ping = defineSignal('ping');
declare const ctx: WorkflowContext;
declare const client: WorkflowClient;
declare const handle: WorkflowHandle<number>;
declare const signal: AbortSignal;

export async function waits(): Promise<void> {
  // The result can be null only with a timeout.
  const always = await ctx.waitForSignal(approved);
  exactly<typeof always, Approval>(true);
  const perhaps = await ctx.waitForSignal(approved, { timeout: '2 days' });
  exactly<typeof perhaps, Approval | null>(true);
  const until = await ctx.waitForSignal(approved, { timeout: new Date(), signal });
  exactly<typeof until, Approval | null>(true);
  const withdrawn = await ctx.waitForSignal(approved, { signal });
  exactly<typeof withdrawn, Approval>(true);
  // A signal without a payload has the value true.
  const pinged = await ctx.waitForSignal(ping);
  exactly<typeof pinged, true>(true);
  const perhapsPinged = await ctx.waitForSignal(ping, { timeout: 5 });
  exactly<typeof perhapsPinged, true | null>(true);
  // @ts-expect-error a name is not a signal
  await ctx.waitForSignal('approved');
  // @ts-expect-error no such option
  await ctx.waitForSignal(approved, { timeOut: 5 });
}

export async function anything(): Promise<void> {
  const any = defineSignal<any>('any');
  const got = await ctx.waitForSignal(any);
  exactly<typeof got, any>(true);
  await client.signal('run', any, { a: 1 }, { idempotencyKey: 'k' });
  await handle.signal(any, 'text');
}

export async function schemas(): Promise<void> {
  const counted = defineSignal('counted', { schema: z.object({ items: z.coerce.number<string>() }) });
  const got = await ctx.waitForSignal(counted);
  exactly<typeof got, { items: number }>(true);
  await client.signal('run', counted, { items: '7' });
  await client.bulk.signal({ filter: { name: 'order' }, dryRun: true, signal: counted, payload: { items: '7' } });
  // @ts-expect-error the payload must have the input type of the schema
  await handle.signal(counted, { items: 7 });
  const maybe = defineSignal('maybe', { schema: z.boolean() });
  exactly<Awaited<ReturnType<typeof waitMaybe>>, boolean | null>(true);
  async function waitMaybe() {
    return ctx.waitForSignal(maybe, { timeout: 1 });
  }
}

export async function races(): Promise<void> {
  const result = await ctx.race({
    approved: () => ctx.waitForSignal(approved),
    late: () => ctx.sleep('1 day'),
    count: async () => 1,
  });
  if (result.key === 'approved') exactly<typeof result.value, Approval>(true);
  if (result.key === 'count') exactly<typeof result.value, number>(true);
  // @ts-expect-error no such branch
  if (result.key === 'early') return;
  // @ts-expect-error branches are functions
  await ctx.race({ approved: ctx.waitForSignal(approved) });
}

export async function sends(): Promise<void> {
  await client.signal('run', approved, { by: 'ann' }, { idempotencyKey: 'k' });
  await client.signal('run', ping);
  await handle.signal(approved, { by: 'ann' });
  await handle.signal(ping, undefined, { idempotencyKey: 'k' });
  // @ts-expect-error the payload is missing
  await client.signal('run', approved);
  // @ts-expect-error the payload has another type
  await handle.signal(approved, { of: 'ann' });
  // @ts-expect-error the signal has no payload
  await handle.signal(ping, { by: 'ann' });
  // @ts-expect-error no such option
  await handle.signal(approved, { by: 'ann' }, { key: 'k' });
}
