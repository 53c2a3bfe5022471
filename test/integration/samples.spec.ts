import { readFileSync } from 'node:fs';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Client } from '@upstash/qstash';

import { QStashEmulator } from '../../src/testing/index.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { freePort } from '../support/free-port.js';
import { killSpawned, spawnCompiled } from '../support/processes.js';

describe('the samples', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(async () => {
    await killSpawned();
    await database.drop();
  });

  /** Runs a sample and returns its output. The sample must end with exit code 0. */
  async function play(main: string, env: Record<string, string | undefined> = {}): Promise<string> {
    const sample = spawnCompiled(main, { env: { ...env, DATABASE_URL: database.url } });
    const { code } = await sample.exited;
    expect({ code, errors: sample.stderrLines }).toEqual({ code: 0, errors: [] });
    return sample.stdoutLines.join('\n');
  }

  it('02-approval ends with an approval after a reminder', async () => {
    const printed = await play('sample/02-approval/main.ts');
    expect(printed).toMatch(
      /mail to boss: may ann spend 120 euros\?[^]*mail to boss: reminder 1[^]*result: boss approved the 120 euros of ann/,
    );
    expect(printed).not.toContain('reminder 3');
  });

  it('11-events ships an order after its payment, mails one receipt, and is the example of docs/events.md', async () => {
    const printed = await play('sample/11-events/main.ts');
    expect(printed).toMatch(/order \d+: shipped for 900 cents[^]*receipt of order \d+[^]*events of the order: stripe-\d+\n/);
    expect(printed.match(/mailing the receipt/g)).toHaveLength(1);
    const code = readFileSync('sample/11-events/order.workflow.ts', 'utf8');
    expect(readFileSync('docs/events.md', 'utf8')).toContain(`\`\`\`ts\n// order.workflow.ts\n${code}\`\`\``);
  });

  it('03-fan-out completes 200 children of one run', async () => {
    const printed = await play('sample/03-fan-out/main.ts');
    expect(printed).toContain('result: 200 pictures, 219900 bytes');
    expect(printed.match(/of 200/g)!.length).toBeGreaterThan(1);
    const runs = await database.query<{ status: string; count: number }>(
      `SELECT status, count(*)::int FROM durable_fan_out.workflow_runs WHERE parent_run_id IS NOT NULL GROUP BY 1`,
    );
    expect(runs).toEqual([{ status: 'completed', count: 200 }]);
  });

  it('04-payment-saga undoes what failed, and docs/sagas.md shows its workflow', async () => {
    const printed = await play('sample/04-payment-saga/main.ts');
    expect(printed).toMatch(
      /booked snail\n {2}booking snail-1: cancelled\n {2}order 1: booked rider\n {2}=> order 1 went with rider; the bank holds 500/,
    );
    expect(printed).toMatch(/bank: refunded 700 .*\n {2}order 2: released\n {2}=> .*no carrier takes the parcel; the bank holds 500/);
    expect(printed).toContain('has undone its steps, so it cannot be retried');
    expect(printed).toMatch(/1 compensation has failed: .*the bank is closed; the bank holds 1400/);
    expect(printed).toMatch(/an operator retries the run:\n {2}bank: refunded 900 .*\n {2}order 3: released\n.*the bank holds 500\n/);
    expect(printed).toContain(
      'recorded: Warehouse.reserve, charge, $compensating, $compensate:charge, $compensate:Warehouse.reserve, $compensated\n' +
        'orders with reserved goods: 1',
    );
    const [, code] = /(@Injectable\(\)[^]*)$/.exec(readFileSync('sample/04-payment-saga/order.workflow.ts', 'utf8'))!;
    expect(readFileSync('docs/sagas.md', 'utf8')).toContain(code);
  });

  it('05-qstash executes runs with the QStash emulator in two messages each', async () => {
    const printed = await play('sample/05-qstash/main.ts', { QSTASH_TOKEN: undefined });
    expect(printed).toContain('driven by the emulator; not set: QSTASH_TOKEN');
    expect(printed).toContain('10 messages for 5 runs of 8 steps with a sleep: 2 per run');
    expect(printed).toContain('eve logged in 3 times');
  });

  it('07-schedules starts reports for tenants, fills a gap, and runs a schedule of the code', async () => {
    const printed = await play('sample/07-schedules/main.ts');
    expect(printed).toMatch(/report-acme: next at .*\(Europe\/Berlin\)/);
    expect(printed).toContain('2027-03-28T01:00:00.000Z');
    expect(printed).toMatch(
      /report-acme@2026-10-24T00:30:00.000Z: acme: 27 orders on 2026-10-23\n {2}report-acme@2026-10-26T01:30:00.000Z/,
    );
    expect(printed).not.toContain('report-acme@2026-10-25');
    expect(printed).toMatch(/heartbeat of .*\n {2}heartbeat of .*\n {2}paused: the sample ends/);
  });

  it('12-limits keeps the limits of each tenant, debounces, and sends batches', async () => {
    const printed = await play('sample/12-limits/main.ts');
    for (const tenant of ['acme', 'yamada', 'lucky bay']) expect(printed).toContain(`${tenant}: at most 1 at the same time`);
    expect(printed).toContain('revision 5 of acme');
    expect(printed).toMatch(/ann: sent with \d others\n(.*\n){4} {2}fay: sent with \d others/);
  });

  it('08-agent continues an answer after kill -9 without paying twice for a finished call of the model', async () => {
    const printed = await play('sample/08-agent/main.ts');
    expect(printed).toContain('another user gets status 403');
    expect(printed).toMatch(
      /kill -9 \d+ in the middle of the answer[^]*reset: the answer begins again[^]*anything else that I can do for you\?/,
    );
    expect(printed).toMatch(/ask#3 +interrupted[^]*ask#3 +finished/);
    expect(printed).toContain('✓ the run failed after 6 calls of the model');
  });

  it('09-operations reports failed runs to a table, retries them, and deletes old runs', async () => {
    const printed = await play('sample/09-operations/main.ts');
    expect(printed.match(/ {2}charge: .* does not support CHF/g)).toHaveLength(2);
    expect(printed).toContain('GET /health/ready: ok');
    expect(printed).toContain('GET /health/queues: 200');
    expect(printed).toContain('GET /workflow/metrics without the token: 403');
    expect(printed).toContain('nestjs_durable_runs_ended_total{workflow="charge",status="failed"} 2');
    expect(printed).toContain('2 runs retried, and all are completed');
    expect(printed).toContain('to be deleted: [{"workflow":"charge","status":"completed","count":6}]');
    expect(printed).toContain('left: kept');
  });

  it('05-qstash executes runs with the QStash of the environment', async () => {
    const qstash = await QStashEmulator.start();
    try {
      const port = await freePort();
      const env = { ...qstash.env(), PORT: String(port), QSTASH_TARGET_URL: `http://127.0.0.1:${port}` };
      const printed = await play('sample/05-qstash/main.ts', env);
      expect(printed).toContain(`driven by QStash, which must reach port ${port} of this machine as http://127.0.0.1:${port}`);
      expect(printed).toContain('10 messages for 5 runs of 8 steps with a sleep: 2 per run');
      expect(qstash.stats()).toMatchObject({ published: 10, delivered: 10 });
      const { schedules } = new Client({ baseUrl: qstash.url, token: qstash.token, devMode: false });
      expect(await schedules.list()).toEqual([]);
    } finally {
      await qstash.close();
    }
  });
});
