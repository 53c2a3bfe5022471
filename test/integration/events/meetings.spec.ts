import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { DataSource } from 'typeorm';

import { defineEvent, Workflow, type WorkflowContext } from '../../../src/index.js';
import { closeApplications, startApplication, type TestApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { waitFor } from '../../support/wait.js';

/** Rounds of each test; 400 in the long form. */
const ROUNDS = process.env['DURABLE_CHAOS'] ? 400 : 70;
/** Advisory lock that holds flushes of waits while a test has it. */
const GATE = 7_001;
/** Advisory lock that a flush has while it is held. */
const HELD = 7_002;

const paid = defineEvent<{ orderId: string }>('paid', { key: ({ orderId }) => orderId });

@Workflow({ name: 'payer' })
class Payer {
  async run(orderId: string, ctx: WorkflowContext): Promise<string> {
    return (await ctx.waitForEvent(paid, { key: orderId })).orderId;
  }
}

/**
 * Holds the flush of a wait until nobody has the lock GATE. The flush does not wait for the lock,
 * because `lock_timeout` would end that. The time of the wait hides it from the sweep, which would
 * otherwise find an event that the worker has overlooked. A wait whose run stayed locked is left to
 * the sweep on purpose, and the sweep finds such a wait.
 */
const HOLD = `CREATE FUNCTION hold_flush() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  PERFORM pg_advisory_xact_lock_shared(${HELD});
  WHILE NOT pg_try_advisory_xact_lock_shared(${GATE}) LOOP PERFORM pg_sleep(0.002); END LOOP;
  NEW.opened_at := now() + interval '1 day';
  RETURN NEW;
END $$;
CREATE TRIGGER hold_flush BEFORE INSERT ON durable.workflow_waits FOR EACH ROW WHEN (NEW.kind = 'event') EXECUTE FUNCTION hold_flush();
CREATE FUNCTION leave_to_sweep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  NEW.opened_at := now() - interval '1 minute';
  RETURN NEW;
END $$;
CREATE TRIGGER leave_to_sweep BEFORE UPDATE OF event_armed ON durable.workflow_waits FOR EACH ROW
  WHEN (NEW.event_armed IS NULL) EXECUTE FUNCTION leave_to_sweep()`;

describe('a wait and an event that become durable at the same time meet', () => {
  let database: TestDatabase;
  let dataSource: DataSource;
  let gate: pg.Client;
  let app: TestApplication;
  beforeAll(async () => {
    database = await createTestDatabase();
    dataSource = await new DataSource({ type: 'postgres', url: database.url }).initialize();
    gate = new pg.Client({ connectionString: database.url });
    await gate.connect();
    app = await startApplication(database.url, [Payer]);
    await database.query(HOLD);
  });
  afterAll(async () => {
    await closeApplications();
    await gate?.end();
    await dataSource?.destroy();
    await database.drop();
  });

  const isTrue = async (sql: string, ...params: unknown[]): Promise<boolean> =>
    (await database.query<{ ok: boolean | null }>(`SELECT (${sql}) AS ok`, params))[0]!.ok === true;
  const isHeld = (): Promise<boolean> =>
    isTrue(`SELECT true FROM pg_locks WHERE locktype = 'advisory' AND objid = ${HELD} AND granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) LIMIT 1`);

  it('when the wait opens, and looks for events, before the transaction of the event commits', async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const orderId = `event-last-${round}`;
      const handle = await dataSource.transaction(async (manager) => {
        await app.client.emit(paid, { orderId }, { manager });
        const started = await app.client.start(Payer, orderId, { manager: 'none' });
        await waitFor(() => isTrue('SELECT event_armed FROM durable.workflow_waits WHERE run_id = $1', started.runId));
        return started;
      });
      expect(await handle.result({ timeout: '60s' })).toBe(orderId);
    }
  });

  it('when the event is emitted and dispatched before the flush of the wait commits', async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const orderId = `wait-last-${round}`;
      await gate.query(`SELECT pg_advisory_lock(${GATE})`);
      const handle = await app.client.start(Payer, orderId);
      await waitFor(isHeld);
      await dataSource.transaction((manager) => app.client.emit(paid, { orderId }, { manager }));
      await waitFor(() => isTrue('SELECT dispatched_at IS NOT NULL FROM durable.workflow_events WHERE key = $1', orderId));
      expect(await isTrue('NOT EXISTS (SELECT 1 FROM durable.workflow_waits WHERE run_id = $1)', handle.runId)).toBe(true);
      await gate.query(`SELECT pg_advisory_unlock(${GATE})`);
      expect(await handle.result({ timeout: '60s' })).toBe(orderId);
    }
  });

  it('when the event is emitted while the run opens its wait', async () => {
    const orderIds = Array.from({ length: ROUNDS }, (_, round) => `together-${round}`);
    const outputs = orderIds.map(async (orderId) => {
      const handle = await app.client.start(Payer, orderId);
      await app.client.emit(paid, { orderId });
      return handle.result({ timeout: '60s' });
    });
    expect(await Promise.all(outputs)).toEqual(orderIds);
  });
});
