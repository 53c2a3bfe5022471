import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';

import { JournalFixture, newSession } from '../../test/support/faults/journal-fixture.js';
import { claimRuns, claimSuspects, markExclusive } from './sql/claim-runs.js';
import { takeOver } from './sql/sessions.js';

describe('runs whose workers died', () => {
  let fixture: JournalFixture;
  beforeEach(async () => {
    fixture = await JournalFixture.create();
  });
  afterEach(() => fixture.close());

  const losses = async (): Promise<Record<string, number>> => {
    const rows = await fixture.admin.query<{ id: string; losses: number }>('SELECT id, worker_losses AS losses FROM durable.workflow_runs');
    return Object.fromEntries(rows.map((row) => [row.id, row.losses]));
  };

  it('lose the worker losses that they share with a run that fails for killing its workers', async () => {
    const { database } = await fixture.journal();
    await fixture.admin
      .query(`INSERT INTO durable.workflow_runs (id, name, version, queue, status, created_at, ready_at, start_nonce, input)
      SELECT id, 'order', 1, 'default', 'pending', now(), now(), 1, '{}' FROM unnest('{poison,twice,once,elsewhere,held}'::text[]) AS id`);
    const claim = { keys: [{ queue: 'default', name: 'order', version: 1 }], deploymentId: 'test', limit: 10 };
    /** Simulates a worker that dies while it owns these runs. */
    const dieWith = async (ids: readonly string[], alone?: string): Promise<void> => {
      const fence = await newSession(database);
      if (alone !== undefined) await markExclusive(database, fence.id, alone);
      await fixture.admin.query(
        `UPDATE durable.workflow_runs SET status = 'running', session_id = $1, ready_at = NULL, epoch = epoch + 1 WHERE id = ANY ($2)`,
        [fence.id, ids],
      );
      await takeOver(database, [fence.id], 'unlocked');
    };
    await dieWith(['poison', 'twice', 'once', 'held']);
    await dieWith(['poison', 'twice', 'held']);
    await dieWith(['elsewhere', 'once']);
    await dieWith(['elsewhere', 'once']);
    await dieWith(['poison'], 'poison');
    await dieWith(['poison'], 'poison');
    expect(await losses()).toEqual({ poison: 4, twice: 2, once: 3, elsewhere: 2, held: 2 });
    const fence = await newSession(database);
    await fixture.admin.query(`UPDATE durable.workflow_runs SET status = 'running', session_id = $1, ready_at = NULL WHERE id = 'held'`, [
      fence.id,
    ]);
    expect(await claimRuns(database, { ...claim, fence })).toEqual([]);

    await dieWith(['poison'], 'poison');
    // A running run belongs to its owner and is not changed.
    expect(await losses()).toEqual({ poison: 5, twice: 0, once: 2, elsewhere: 2, held: 2 });
    const [poison] = await fixture.admin.query(`SELECT status FROM durable.workflow_runs WHERE id = 'poison'`);
    expect(poison).toEqual({ status: 'failed' });
    expect((await claimRuns(database, { ...claim, fence })).map(({ id }) => id)).toEqual(['twice']);
    expect((await claimSuspects(database, { ...claim, fence })).map(({ id }) => id)).toEqual(['elsewhere']);
  });
});
