import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { FaultProxy } from '../../test/support/faults/proxy.js';
import { changeOf, JournalFixture, newSession, startOf, type OpenJournal } from '../../test/support/faults/journal-fixture.js';
import { newBatchStart } from '../core/batch.js';
import type { NewRun } from '../core/run.js';
import type { Committed, Transition } from '../core/transition.js';
import { claimNamed, type ClaimedRun } from './sql/claim-runs.js';
import { freeOrphanedMembers } from './sql/orphaned-members.js';
import { sealBatches } from './sql/seal-batches.js';

let ids = 0;

function member(name: string, run: Partial<NewRun> = {}): Transition {
  const id = run.id ?? `member-${++ids}`;
  return startOf(id, false, { name, input: JSON.stringify(id), batch: newBatchStart({ size: 3, waitMs: 3_600_000 }), ...run });
}

describe('batches in the store', () => {
  let fixture: JournalFixture;
  let one: OpenJournal;
  let other: OpenJournal;
  beforeAll(async () => {
    fixture = await JournalFixture.create();
    one = await fixture.journal();
    other = await fixture.journal();
  });
  afterEach(async () => {
    await fixture.admin.query('DELETE FROM durable.workflow_runs');
    await fixture.admin.query('DELETE FROM durable.workflow_shared_starts');
  });
  afterAll(() => fixture.close());

  /** Starts members, and returns the ids of their batches in the order of the starts. */
  const start = async (transitions: Transition[], journal = one): Promise<string[]> => {
    await Promise.all(transitions.map((transition) => journal.submit(transition)));
    return batchesOf(transitions.map(({ runId }) => runId));
  };
  const batchesOf = async (members: string[]): Promise<string[]> => {
    const rows = await fixture.admin.query('SELECT id, batch_id FROM durable.workflow_runs WHERE id = ANY ($1::text[])', [members]);
    return members.map((id) => rows.find((row) => row['id'] === id)?.['batch_id'] as string);
  };
  const batches = (): Promise<Record<string, unknown>[]> =>
    fixture.admin.query(`SELECT status, (SELECT count(*)::int FROM durable.workflow_runs m WHERE m.batch_id = r.id) AS members
      FROM durable.workflow_runs r WHERE batch_size IS NOT NULL ORDER BY created_at, members DESC`);
  const claim = async (id: string, name: string, journal = one): Promise<ClaimedRun> => {
    await fixture.admin.query(
      `UPDATE durable.workflow_runs SET wake_at = now() - interval '1 second' WHERE id = $1 AND status = 'waiting'`,
      [id],
    );
    const keys = [{ queue: 'default', name, version: 1 }];
    return (await claimNamed(journal.database, { fence: journal.fence, keys, deploymentId: 'test' }, id, 9))!;
  };

  it('fill one after the other; a full one is due at once, and the last one waits', async () => {
    const announced = (await Promise.all(Array.from({ length: 7 }, () => one.submit(member('fill'))))) as Extract<
      Committed,
      { outcome: 'batched' }
    >[];
    expect(await batches()).toEqual([
      { status: 'pending', members: 3 },
      { status: 'pending', members: 3 },
      { status: 'waiting', members: 1 },
    ]);
    const news = announced.flatMap(({ announced: batch }) => batch ?? []);
    expect(new Set(news.map(({ id }) => id)).size).toBe(3);
    expect(news.filter(({ wakeAt }) => wakeAt === undefined)).toHaveLength(2);
  });

  it('have exact sizes when two processes start members at the same time', async () => {
    await Promise.all(Array.from({ length: 300 }, (_, index) => (index % 2 === 0 ? one : other).submit(member('race'))));
    expect(await batches()).toEqual(Array.from({ length: 100 }, () => ({ status: 'pending', members: 3 })));
  });

  it('are separate for workflows, versions, queues and priorities', async () => {
    const runs = [{}, { version: 2 }, { queue: 'q' }, { priority: 1 }].map((run) => member('apart', run));
    expect(new Set(await start([...runs, member('another')])).size).toBe(5);
  });

  it('store a member once when the answer of its commit is lost', async () => {
    const proxy = await FaultProxy.start(fixture.admin.url);
    const behind = await fixture.journal({ url: proxy.url });
    try {
      const cut = proxy.cutAfterCommit('durable_flush_');
      const started = behind.submit(member('lost', { tags: { a: '1' } }));
      await cut;
      await started;
      expect(await batches()).toEqual([{ status: 'waiting', members: 1 }]);
    } finally {
      await proxy.stop();
    }
  });

  it('return an existing run with the id of a member, and ignore rows of a deleted run', async () => {
    await start([member('given', { id: 'taken', hasGivenId: true })]);
    const again = [member('given', { id: 'taken', hasGivenId: true }), member('given', { id: 'fresh', hasGivenId: true })];
    await fixture.admin.query(`INSERT INTO durable.workflow_tags VALUES ('fresh', 'old', 'x')`);
    const outcomes = await Promise.all(again.map((transition) => one.submit(transition)));
    expect(outcomes).toMatchObject([{ outcome: 'exists', name: 'given' }, { outcome: 'batched' }]);
    expect(await batches()).toEqual([{ status: 'waiting', members: 2 }]);
    expect(await fixture.admin.query(`SELECT 1 FROM durable.workflow_tags WHERE run_id = 'fresh'`)).toEqual([]);
  });

  it('are sealed once by their owner, without cancelled and paused members, and take no member afterwards', async () => {
    const [first, second, third] = [member('seal'), member('seal'), member('seal', { id: 'paused', hasGivenId: true })];
    const [batch] = await start([first, second]);
    await start([third]);
    await fixture.admin.query(`UPDATE durable.workflow_runs SET status = 'cancelled', finished_at = now() WHERE id = $1`, [first.runId]);
    await fixture.admin.query(`UPDATE durable.workflow_runs SET status = 'paused' WHERE id = 'paused'`);
    const claimed = await claim(batch!, 'seal');
    expect(await sealBatches(one.database, await newSession(one.database), [claimed])).toEqual(new Map());
    const inputs = await sealBatches(one.database, one.fence, [claimed]);
    expect(JSON.parse(inputs.get(batch!)!)).toEqual({ $durable: 'batch', values: [second.runId] });
    expect(await sealBatches(one.database, one.fence, [{ id: batch!, epoch: claimed.epoch + 1 }])).toEqual(new Map());
    expect(await batchesOf([first.runId, second.runId, 'paused'])).toEqual([batch, batch, null]);
    const [next] = await start([member('seal')]);
    expect(next).not.toBe(batch);
  });

  it('end as cancelled when no member is left', async () => {
    const only = member('empty');
    const [batch] = await start([only]);
    await fixture.admin.query(`UPDATE durable.workflow_runs SET status = 'cancelled', finished_at = now() WHERE id = $1`, [only.runId]);
    const claimed = await claim(batch!, 'empty');
    expect(await sealBatches(one.database, one.fence, [claimed])).toEqual(new Map());
    expect(await batches()).toEqual([{ status: 'cancelled', members: 1 }]);
  });

  it('whose run was deleted let their members go, one by one read from an index', async () => {
    const kept = member('kept');
    const [first, second, paused, cancelled] = [member('orphan'), member('orphan'), member('orphan'), member('orphan')];
    const [deleted] = await start([first]);
    await start([second, paused, cancelled]);
    await start([kept]);
    await fixture.admin.query(`UPDATE durable.workflow_runs SET status = 'paused' WHERE id = $1`, [paused.runId]);
    await fixture.admin.query(`UPDATE durable.workflow_runs SET status = 'cancelled', finished_at = now() WHERE id = $1`, [
      cancelled.runId,
    ]);
    const { signal } = new AbortController();
    const ids = async (): Promise<string[]> => (await freeOrphanedMembers(one.database, signal)).map(({ id }) => id);
    expect(await ids()).toEqual([]);
    const ofBatch = (await fixture.admin.query('SELECT id FROM durable.workflow_runs WHERE batch_id = $1', [deleted])).map(
      ({ id }) => id as string,
    );
    await fixture.admin.query('DELETE FROM durable.workflow_runs WHERE id = $1', [deleted]);
    const due = [first, second].map(({ runId }) => runId).filter((id) => ofBatch.includes(id));
    expect((await ids()).sort()).toEqual(due.sort());
    expect(await ids()).toEqual([]);
    const rows = await fixture.admin.query(
      'SELECT id, status, batch_id, batch_place FROM durable.workflow_runs WHERE id = ANY ($1) ORDER BY id',
      [ofBatch],
    );
    const statusOf = (id: string): string => (id === paused.runId ? 'paused' : id === cancelled.runId ? 'cancelled' : 'pending');
    expect(rows).toEqual([...ofBatch].sort().map((id) => ({ id, status: statusOf(id), batch_id: null, batch_place: null })));
    const [still] = await fixture.admin.query('SELECT status, batch_place FROM durable.workflow_runs WHERE id = $1', [kept.runId]);
    expect(still).toMatchObject({ status: 'waiting', batch_place: 0 });
  });

  it('give each member its result, in the statement that ends the batch', async () => {
    const members = [member('results'), member('results'), member('results')];
    const [batch] = await start(members);
    const claimed = await claim(batch!, 'results');
    await sealBatches(one.database, one.fence, [claimed]);
    await fixture.admin.query(`UPDATE durable.workflow_runs SET status = 'pending', ready_at = now() WHERE id = $1`, [members[1]!.runId]);
    const end = changeOf(batch!, {
      status: 'completed',
      output: '{"$durable":"batch","values":["a",null,[3]]}',
      error: null,
      leftovers: 'none',
    });
    await one.submit(end);
    const rows = await fixture.admin.query(
      `SELECT status, output, batch_place FROM durable.workflow_runs WHERE id = ANY ($1::text[]) ORDER BY id`,
      [members.map(({ runId }) => runId)],
    );
    expect(rows).toEqual([
      { status: 'completed', output: 'a', batch_place: null },
      { status: 'completed', output: null, batch_place: null },
      { status: 'completed', output: [3], batch_place: null },
    ]);
  });
});
