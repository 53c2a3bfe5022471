import { afterAll, beforeAll, expect, it } from '@jest/globals';
import pg from 'pg';

import { startEmbeddedPostgres, type EmbeddedPostgres } from '../../../src/embedded/index.js';
import { defineSignal, Workflow, type WorkflowClient, type WorkflowContext } from '../../../src/index.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { waitFor } from '../../support/wait.js';

const number = defineSignal<number>('number');
const COUNT = 500;

let open: () => void;
const gate = new Promise<void>((resolve) => (open = resolve));

/** Executes a step until the gate opens, and then takes `count` signals. */
@Workflow({ name: 'takes' })
class Takes {
  async run(count: number, ctx: WorkflowContext): Promise<number[]> {
    await ctx.step('busy', () => gate);
    const got: number[] = [];
    while (got.length < count) got.push(await ctx.waitForSignal(number));
    return got;
  }
}

/**
 * A server of its own: transactions of other tests would keep messages that were read from counting
 * as settled.
 */
let server: EmbeddedPostgres;
let admin: pg.Client;
let client: WorkflowClient;
beforeAll(async () => {
  server = await startEmbeddedPostgres({ fast: true });
  admin = new pg.Client({ connectionString: server.url });
  await admin.connect();
  ({ client } = await startApplication(server.url, [Takes]));
});
afterAll(async () => {
  open();
  await closeApplications();
  await admin.end();
  await server.stop();
});

/** Rows of the inbox that statements have read, without those that they deleted. */
async function rowsRead(): Promise<number> {
  const { rows } = await admin.query<{ rows: string }>(
    `SELECT seq_tup_read + idx_tup_fetch - n_tup_del AS rows FROM pg_stat_user_tables WHERE schemaname = 'durable' AND relname = 'workflow_inbox'`,
  );
  return Number(rows[0]!.rows);
}

it('a run reads fewer than two inbox rows per signal, even when the signals arrive while it is busy', async () => {
  const handle = await client.start(Takes, COUNT);
  const before = await rowsRead();
  for (let n = 0; n < COUNT; n++) await handle.signal(number, n);
  open();
  expect(await handle.result()).toEqual(Array.from({ length: COUNT }, (_, n) => n));
  // Backends report their statistics late: once a second at most, and seconds later when they are
  // idle. The application's backends have reported everything once they are gone.
  await closeApplications();
  let perSignal = 0;
  await waitFor(async () => {
    perSignal = ((await rowsRead()) - before) / COUNT;
    return perSignal >= 1;
  });
  expect(perSignal).toBeLessThan(2);
});
