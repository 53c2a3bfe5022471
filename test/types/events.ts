// The compiler checks this file (npm run lint:types): it must report each marked line and no other.
import { z } from 'zod';

import { defineEvent, Workflow, type EventOf, type WorkflowClient, type WorkflowContext } from '../../src/index.js';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const exactly = <A, B>(_same: Equal<A, B>): void => undefined;

interface Paid {
  orderId: string;
  cents: number;
  lines?: string[];
}

const paid = defineEvent<Paid>('paid', { key: ({ orderId }) => orderId });
const tick = defineEvent('tick');
const counted = defineEvent('counted', { schema: z.object({ items: z.coerce.number<string>() }) });
declare const ctx: WorkflowContext;
declare const client: WorkflowClient;
declare const signal: AbortSignal;

exactly<EventOf<typeof paid>, Paid>(true);
exactly<EventOf<typeof tick>, true>(true);
exactly<EventOf<typeof counted>, { items: number }>(true);

export async function waits(): Promise<void> {
  // The result can be null only with a timeout.
  const always = await ctx.waitForEvent(paid);
  exactly<typeof always, Paid>(true);
  const chosen = await ctx.waitForEvent(paid, { key: '7', where: { cents: 900 }, since: 'now', signal });
  exactly<typeof chosen, Paid>(true);
  const perhaps = await ctx.waitForEvent(paid, { key: '7', timeout: '3 days' });
  exactly<typeof perhaps, Paid | null>(true);
  const ticked = await ctx.waitForEvent(tick);
  exactly<typeof ticked, true>(true);
  const perhapsTicked = await ctx.waitForEvent(tick, { timeout: 5 });
  exactly<typeof perhapsTicked, true | null>(true);
  // A wait receives the value that the schema returns.
  const got = await ctx.waitForEvent(counted, { where: { items: 7 } });
  exactly<typeof got, { items: number }>(true);
  // @ts-expect-error a name is not an event
  await ctx.waitForEvent('paid');
  // @ts-expect-error the payload has no such field
  await ctx.waitForEvent(paid, { where: { euros: 9 } });
  // @ts-expect-error the field has another type
  await ctx.waitForEvent(paid, { where: { cents: '900' } });
  // @ts-expect-error a condition compares no objects
  await ctx.waitForEvent(paid, { where: { lines: ['a'] } });
  // @ts-expect-error no such option
  await ctx.waitForEvent(paid, { timeOut: 5 });
}

export async function emits(): Promise<void> {
  await client.emit(paid, { orderId: '7', cents: 900 }, { id: 'evt_1' });
  await client.emit(tick);
  await client.emit(tick, undefined, { id: 'evt_2' });
  await client.emit(counted, { items: '7' });
  await ctx.emit(paid, { orderId: '7', cents: 900 });
  await ctx.emit(tick);
  // @ts-expect-error the payload is missing
  await client.emit(paid);
  // @ts-expect-error the payload has another type
  await client.emit(paid, { orderId: 7 });
  // @ts-expect-error the payload must have the input type of the schema
  await client.emit(counted, { items: 7 });
}

@Workflow({ name: 'receipt', on: paid })
export class Receipt {
  async run(event: EventOf<typeof paid>): Promise<string> {
    return event.orderId;
  }
}

@Workflow({
  name: 'several',
  on: [
    { event: paid, where: { cents: 900 } },
    { event: paid, id: 'second' },
  ],
})
export class Several {
  async run(event: Paid): Promise<number> {
    return event.cents;
  }
}

@Workflow({ name: 'either', on: [{ event: paid }, { event: counted }] })
export class Either {
  async run(event: EventOf<typeof paid> | EventOf<typeof counted>): Promise<number> {
    return 'items' in event ? event.items : event.cents;
  }
}

// @ts-expect-error the event has another payload
@Workflow({ name: 'wrong', on: paid })
export class Wrong {
  async run(event: { amount: number }): Promise<number> {
    return event.amount;
  }
}

// @ts-expect-error the workflow does not accept the second event
@Workflow({ name: 'half', on: [{ event: paid }, { event: counted }] })
export class Half {
  async run(event: Paid): Promise<number> {
    return event.cents;
  }
}
