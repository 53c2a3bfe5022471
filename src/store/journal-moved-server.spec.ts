import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { changeOf, JournalFixture, startOf, stepOf, type OpenJournal, newSession } from '../../test/support/faults/journal-fixture.js';
import { claimRuns } from './sql/claim-runs.js';
import { viewRuns } from './sql/compare-owned-runs.js';
import { heartbeat, type QuickExecutor } from './sql/sessions.js';

describe('a session that was last seen on another server', () => {
  let fixture: JournalFixture;
  beforeAll(async () => {
    fixture = await JournalFixture.create();
  });
  afterAll(() => fixture.close());

  const steps = (id: string): Promise<unknown[]> => fixture.admin.query('SELECT 1 FROM durable.workflow_steps WHERE run_id = $1', [id]);
  const elsewhere = ({ fence }: OpenJournal): { id: string; server: string } => ({ id: fence.id, server: 'another' });

  it('the journal writes the transitions of its runs only after the session has been verified', async () => {
    const stored: number[] = [];
    const open: OpenJournal = await fixture.journal({
      moved: async () => {
        stored.push((await steps('moved')).length);
        open.journal.useSession(open.fence);
      },
    });
    await open.submit(startOf('moved', true));
    open.journal.useSession(elsewhere(open));
    await Promise.all([open.submit(stepOf('moved', 1)), open.submit(startOf('beside', false)), open.submit(changeOf('moved'))]);
    expect(stored).toEqual([0]);
    expect(await steps('moved')).toHaveLength(1);
    expect(await fixture.admin.query('SELECT id, status FROM durable.workflow_runs ORDER BY id')).toEqual([
      { id: 'beside', status: 'pending' },
      { id: 'moved', status: 'completed' },
    ]);
    expect(open.fenced).toEqual([]);
  });

  it('the journal writes starts without an owner, and never the transitions of the refused session', async () => {
    const open: OpenJournal = await fixture.journal({
      moved: async () => open.journal.useSession(null),
    });
    await open.submit(startOf('dropped', true));
    open.journal.useSession(elsewhere(open));
    const step = open.submit(stepOf('dropped', 1));
    const refused = expect(step).rejects.toMatchObject({ code: 'FENCED' });
    await expect(open.submit(startOf('free', false))).resolves.toMatchObject({ outcome: 'done' });
    await refused;
    expect(await steps('dropped')).toEqual([]);
  });

  it('a claim returns nothing, a heartbeat names the server, and stored runs can be compared', async () => {
    const open = await fixture.journal();
    await open.submit(startOf('due', false));
    await open.submit(startOf('mine', true));
    await open.submit(stepOf('mine', 1));
    await open.submit(stepOf('mine', 2));
    const claim = { keys: [{ queue: 'default', name: 'order', version: 1 }], deploymentId: 'test', limit: 10 };
    expect(await claimRuns(open.database, { ...claim, fence: elsewhere(open) })).toEqual([]);
    const reserved: QuickExecutor = (statement, values) => open.database.reserved(statement, values);
    expect(await heartbeat([reserved], () => ({ id: open.sessionId, ttlMs: 60_000, holdsLock: false }))).toMatchObject({
      server: open.fence.server,
    });
    const view = await viewRuns(open.database, open.sessionId, ['mine', 'due', 'missing']);
    expect(view).toMatchObject({ server: open.fence.server, hasSession: true });
    expect(Object.fromEntries(view.runs)).toEqual({
      due: { epoch: 0, isOwned: false, lastSeq: 0 },
      mine: { epoch: 1, isOwned: true, lastSeq: 2 },
    });
    expect(await viewRuns(open.database, '1', [])).toMatchObject({ hasSession: false });
  });

  it('the ids of sessions sort by creation time and do not come from a sequence', async () => {
    const { database } = await fixture.journal();
    const made: bigint[] = [];
    for (let index = 0; index < 5; index++) {
      made.push(BigInt((await newSession(database)).id));
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    expect([...made].sort((a, b) => (a < b ? -1 : 1))).toEqual(made);
    expect(new Set(made.map((id) => id & 0xfffffn)).size).toBeGreaterThan(1);
  });
});
