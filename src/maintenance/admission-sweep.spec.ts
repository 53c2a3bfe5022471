import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';

import { JournalFixture, type OpenJournal } from '../../test/support/faults/journal-fixture.js';
import { checkQueue } from '../core/queue-limits.js';
import { DatabaseClock } from '../core/clock.js';
import { Admissions } from '../store/admissions.js';
import { declareQueue, postponeSweep, refreshKnownQueues, takeQueuesToSweep } from '../store/sql/queues.js';
import { AdmissionSweep } from './admission-sweep.js';

describe('the sweep of queues with limits', () => {
  let fixture: JournalFixture;
  let open: OpenJournal;
  beforeAll(async () => {
    fixture = await JournalFixture.create();
    open = await fixture.journal();
  });
  beforeEach(async () => {
    await fixture.admin.query(
      'DELETE FROM durable.workflow_runs; DELETE FROM durable.workflow_queues; DELETE FROM durable.workflow_queue_keys',
    );
    await declare(1);
    await refreshKnownQueues(open.database);
    await fixture.admin.query(
      `INSERT INTO durable.workflow_runs (id, name, version, queue, status, created_at, ready_at, start_nonce, input, place)
      SELECT 'run-' || n, 'w', 1, 'q', 'pending', now(), now(), n, '{}', 'outside' FROM generate_series(1, 3) AS n`,
    );
  });
  afterAll(() => fixture.close());

  const declare = (concurrency: number): Promise<boolean> =>
    declareQueue(open.database, {
      kind: 'queue',
      name: 'q',
      json: JSON.stringify({ concurrency }),
      limits: checkQueue({ concurrency }, 'queues.q'),
    });
  const sweep = (admissions: Admissions): Promise<number | undefined> =>
    new AdmissionSweep(open.database, admissions).run(new AbortController().signal);
  const admissionsThatTake = (ms: number): Admissions => {
    const failed = (error: unknown): void => {
      throw error;
    };
    const admissions = new Admissions(open.database, new DatabaseClock(), { due: async () => undefined, failed });
    admissions.lastLookMs = () => ms;
    return admissions;
  };

  it('comes back to a queue within a second', async () => {
    await sweep(admissionsThatTake(10));
    expect(await takeQueuesToSweep(open.database, 0)).toEqual(['q']);
  });

  it('waits longer after an admission that took long, until the limits change', async () => {
    await sweep(admissionsThatTake(1_000));
    const [row] = await fixture.admin.query(`SELECT extract(epoch FROM swept_at - now())::float8 AS pause FROM durable.workflow_queues`);
    expect(row!.pause).toBeGreaterThan(10);
    expect(row!.pause).toBeLessThanOrEqual(20);
    expect(await takeQueuesToSweep(open.database, 0)).toEqual([]);
    await declare(2);
    expect(await takeQueuesToSweep(open.database, 0)).toEqual(['q']);
  });

  it('postpones no sweep while the row of the queue is locked', async () => {
    await open.database.transaction(async (client) => {
      await client.query('SELECT 1 FROM durable.workflow_queues FOR UPDATE');
      await postponeSweep(open.database, 'q', 60_000);
    });
    expect(await takeQueuesToSweep(open.database, 0)).toEqual(['q']);
  });

  it('deletes the keys whose rate limit was last used long ago', async () => {
    await fixture.admin.query(
      `INSERT INTO durable.workflow_queue_keys (kind, name, key, arrival_at)
      SELECT k, 'q', key, now() + since FROM unnest('{queue,step}'::text[]) AS k,
        (VALUES ('old', interval '-25 hours'), ('recent', interval '-23 hours'), ('closed', interval '1 hour')) AS keys(key, since)`,
    );
    await sweep(admissionsThatTake(0));
    const rows = await fixture.admin.query(`SELECT kind, key FROM durable.workflow_queue_keys ORDER BY kind, key`);
    const left = ['closed', 'recent'];
    expect(rows).toEqual(['queue', 'step'].flatMap((kind) => left.map((key) => ({ kind, key }))));
  });
});
