import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { JournalFixture, startOf, waitOf, type OpenJournal } from '../../test/support/faults/journal-fixture.js';
import type { NewRun } from '../core/run.js';
import type { Transition } from '../core/transition.js';
import { notifyOfCancel } from './sql/cancel-run.js';

const cancelOf = (childId: string): Transition => ({
  kind: 'cancelChild',
  runId: 'parent',
  epoch: 1,
  stepKey: `invoke:${childId}`,
  childId,
});

describe('a run that cancels a child', () => {
  let fixture: JournalFixture;
  let open: OpenJournal;
  beforeAll(async () => {
    fixture = await JournalFixture.create();
    open = await fixture.journal();
    await open.submit(startOf('parent', true));
  });
  afterAll(() => fixture.close());

  const child = (id: string): Transition => {
    const { run } = startOf(id, false) as { run: NewRun };
    const wait = waitOf('parent', `invoke:${id}`) as Extract<Transition, { kind: 'wait' }>;
    return { ...wait, child: { ...run, parentRunId: 'parent', parentStepKey: `invoke:${id}` } };
  };
  const notify = async (id: string): Promise<string | undefined> =>
    (await notifyOfCancel(open.database, [{ runId: id, error: '{}', parentId: 'parent' }]))[0]?.status;

  it('reaches its own child', async () => {
    await open.submit(child('own'));
    await open.submit(cancelOf('own'));
    expect(await notify('own')).toBe('cancelled');
  });

  it('reaches a child that starts in the same flush', async () => {
    await Promise.all([open.submit(child('quick')), open.submit(cancelOf('quick'))]);
    expect(await notify('quick')).toBe('cancelled');
  });

  it('does not reach a run without that parent that has the id of the child', async () => {
    await open.submit(startOf('stranger', false));
    await Promise.all([open.submit(child('stranger')), open.submit(cancelOf('stranger'))]);
    expect(await notify('stranger')).toBeUndefined();
    const query = `SELECT status, wake_count, cancel_requested_at FROM durable.workflow_runs WHERE id = 'stranger'`;
    expect(await fixture.admin.query(query)).toEqual([{ status: 'pending', wake_count: 0, cancel_requested_at: null }]);
    expect(await fixture.admin.query(`SELECT 1 FROM durable.workflow_inbox WHERE run_id = 'stranger'`)).toEqual([]);
  });

  it('waits for no run that another run started, not even until it knows that the id is taken', async () => {
    await open.submit(startOf('foreign', false));
    const start = child('foreign') as Extract<Transition, { kind: 'wait' }>;
    const wait = { ...start.wait, kind: 'child', name: 'foreign' } as const;
    const given: Transition = { ...start, wait, child: { ...start.child!, hasGivenId: true } };
    expect(await open.submit(given)).toMatchObject({ outcome: 'exists' });
    expect(await fixture.admin.query(`SELECT 1 FROM durable.workflow_waits WHERE step_key = 'invoke:foreign'`)).toEqual([]);
  });
});
