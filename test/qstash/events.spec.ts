import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { defineEvent, Workflow, type EventOf, type WorkflowContext } from '../../src/index.js';
import { closeApplications } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { startPushed } from '../support/pushed-application.js';
import { waitFor } from '../support/wait.js';

const paid = defineEvent<{ orderId: string }>('paid');
const shipped = defineEvent<{ orderId: string }>('shipped');

@Workflow({ name: 'receipt', on: [{ event: paid }, { event: shipped, id: 'shipped' }] })
class Receipt {
  async run(event: EventOf<typeof paid>): Promise<string> {
    return event.orderId;
  }
}

@Workflow({ name: 'ships' })
class Ships {
  async run(orderId: string, ctx: WorkflowContext): Promise<void> {
    await ctx.emit(shipped, { orderId });
  }
}

/** Makes the end of a dispatch slower than the answer of a delivery that does not wait for it. */
const SLOW = `CREATE FUNCTION slow_dispatch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  PERFORM pg_sleep(0.5);
  RETURN NEW;
END $$;
CREATE TRIGGER slow_dispatch BEFORE UPDATE OF dispatched_at ON durable.workflow_events FOR EACH ROW EXECUTE FUNCTION slow_dispatch()`;

describe('events of an application that QStash drives', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(() => closeApplications());
  afterAll(() => database.drop());

  it('are dispatched before the promises of waitUntil resolve', async () => {
    const kept: Promise<unknown>[] = [];
    const waitUntil = (promise: Promise<unknown>): void => void kept.push(promise);
    const { client } = await startPushed(database.url, [Receipt], { options: { qstash: { waitUntil } } });
    for (let round = 0; round < 5; round++) {
      await client.emit(paid, { orderId: '7' }, { id: `payment-${round}` });
      await Promise.all(kept);
      expect(['pending', 'running', 'completed']).toContain(await client.status(`receipt:paid:payment-${round}`));
    }
  });

  it('of a run are dispatched before its delivery is answered', async () => {
    const { client, qstash } = await startPushed(database.url, [Receipt, Ships]);
    await database.query(SLOW);
    for (let round = 0; round < 5; round++) {
      const { runId } = await client.start(Ships, '7', { id: `order-${round}` });
      await waitFor(() => qstash.messages.some(({ body, state }) => body.includes(runId) && state === 'delivered'));
      const { events } = await client.events.list({ event: shipped, limit: 1 });
      expect(events).toMatchObject([{ emittedBy: runId, dispatchedAt: expect.any(Date) }]);
    }
  });
});
