import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';

import { JournalFixture, changeOf, startOf, type OpenJournal } from '../../test/support/faults/journal-fixture.js';
import { sweepAndNotify } from '../../test/support/faults/requests.js';
import type { Transition } from '../core/transition.js';
import { unblockRuns } from './sql/blocked-runs.js';
import { bumpRuns } from './sql/bump-runs.js';

const RUN = 'run';
const SUSPENDED = { status: 'waiting', wakeAt: null, wakeCount: 0 } as const;

const waitFor = (kind: 'signal' | 'hook' | 'child', stepKey: string, name: string, attempts = 0): Transition => ({
  kind: 'wait',
  runId: RUN,
  epoch: 1,
  wait: { stepKey, kind, name, wakeAt: null, attempts, openedAt: Date.now() },
  event: null,
});
/** Waits of a run, and the message that ends each of them. */
const WAITS = [
  ['a signal', waitFor('signal', 'signal:go', 'go'), 'signal', 'go'],
  ['a hook', waitFor('hook', 'hook.wait', 'a-token'), 'hook', 'a-token'],
  ['a child', waitFor('child', 'invoke:x', 'the-child'), 'child', 'invoke:x'],
  ['a child that was started after a retry', waitFor('child', 'invoke:x', 'the-child', 2), 'child', 'invoke:x~2'],
  ['a child that has failed', waitFor('child', 'invoke:x', 'the-child'), 'child_failed', 'invoke:x'],
] as const;

describe('a message whose notification was lost', () => {
  let fixture: JournalFixture;
  let open: OpenJournal;
  beforeAll(async () => {
    fixture = await JournalFixture.create();
  });
  beforeEach(async () => {
    await fixture.admin.query('TRUNCATE durable.workflow_runs, durable.workflow_inbox, durable.workflow_waits, durable.workflow_run_log');
    open = await fixture.journal();
  });
  afterAll(() => fixture.close());

  const send = (kind: string, name: string, runId = RUN) =>
    fixture.admin.query(
      `INSERT INTO durable.workflow_inbox (run_id, kind, name, payload, created_at) VALUES ($1, $2, $3, '1', now() - interval '1 minute')`,
      [runId, kind, name],
    );
  const run = async (id = RUN): Promise<Record<string, unknown>> => {
    const [row] = await fixture.admin.query('SELECT *, xmin::text AS row_version FROM durable.workflow_runs WHERE id = $1', [id]);
    return row;
  };
  const quiet = { notified: [], cancelled: [] };

  it.each(WAITS)('makes a suspended run due, once: the run waits for %s', async (_what, wait, kind, name) => {
    await open.submit(startOf(RUN, true));
    await open.submit(wait);
    await open.submit(changeOf(RUN, SUSPENDED));
    await send(kind, name);
    expect(await sweepAndNotify(open.database)).toEqual({ notified: [RUN], cancelled: [] });
    const notified = await run();
    expect(notified).toMatchObject({ status: 'pending', wake_count: 1, ready_at: expect.any(Date), cancel_requested_at: null });
    for (let again = 0; again < 3; again++) expect(await sweepAndNotify(open.database)).toEqual(quiet);
    expect(await run()).toEqual(notified);
  });

  it.each(WAITS)('raises the wake count of a running run that waits for %s', async (_what, wait, kind, name) => {
    await open.submit(startOf(RUN, true));
    await open.submit(wait);
    await send(kind, name);
    expect(await sweepAndNotify(open.database)).toEqual({ notified: [RUN], cancelled: [] });
    expect(await run()).toMatchObject({ status: 'running', wake_count: 1, session_id: open.sessionId });
  });

  it.each([
    ['with another name', 'signal', 'stop'],
    ['with another kind', 'hook', 'go'],
    ['from a child that no wait needs', 'child', 'signal:go'],
  ])('stays in the inbox, and changes nothing, when no wait takes it: a message %s', async (_which, kind, name) => {
    await open.submit(startOf(RUN, true));
    await open.submit(waitFor('signal', 'signal:go', 'go'));
    await open.submit(changeOf(RUN, SUSPENDED));
    await send(kind, name);
    const before = await run();
    expect(await sweepAndNotify(open.database)).toEqual(quiet);
    expect(await run()).toEqual(before);
    expect(await fixture.admin.query('SELECT 1 FROM durable.workflow_inbox')).toHaveLength(1);
  });

  it('does not change a run that is blocked or has a request to cancel', async () => {
    await open.submit(startOf(RUN, true));
    await open.submit(waitFor('signal', 'signal:go', 'go'));
    await open.submit(changeOf(RUN, { status: 'waiting', blockedFor: 'this', reason: '{}' }));
    await send('signal', 'go');
    expect(await sweepAndNotify(open.database)).toEqual(quiet);
    await fixture.admin.query('UPDATE durable.workflow_runs SET is_blocked = false, cancel_requested_at = now()');
    expect(await sweepAndNotify(open.database)).toEqual(quiet);
  });

  it('does not change a paused run', async () => {
    await open.submit(startOf(RUN, true));
    await open.submit(waitFor('signal', 'signal:go', 'go'));
    await open.submit(changeOf(RUN, SUSPENDED));
    await fixture.admin.query(`UPDATE durable.workflow_runs SET status = 'paused'`);
    await send('signal', 'go');
    expect(await sweepAndNotify(open.database)).toEqual(quiet);
  });

  it('makes a formerly blocked run due after a matching deployment has suspended it', async () => {
    await open.submit(startOf(RUN, true));
    const { name, queue, version } = (startOf(RUN, true) as Extract<Transition, { kind: 'start' }>).run;
    const keys = [{ name, queue, version }];
    await open.submit(changeOf(RUN, { status: 'waiting', blockedFor: 'this', reason: '{}' }));
    expect(await bumpRuns(open.database, [RUN])).toMatchObject([{ status: 'waiting' }]);
    expect(await unblockRuns(open.database, keys, 'this')).toHaveLength(0);
    expect(await unblockRuns(open.database, keys, 'other')).toHaveLength(1);
    await fixture.admin.query(`UPDATE durable.workflow_runs SET status = 'running', ready_at = NULL, session_id = $1`, [open.sessionId]);
    await open.submit(waitFor('signal', 'signal:go', 'go'));
    await open.submit(changeOf(RUN, { ...SUSPENDED, wakeCount: 1 }));
    expect(await unblockRuns(open.database, keys, 'a third')).toHaveLength(0);
    await send('signal', 'go');
    expect(await sweepAndNotify(open.database)).toEqual({ notified: [RUN], cancelled: [] });
    await fixture.admin.query(`UPDATE durable.workflow_runs SET status = 'waiting', ready_at = NULL`);
    expect(await bumpRuns(open.database, [RUN])).toMatchObject([{ status: 'pending' }]);
  });

  it('moves to the last run of a chain, and that run is notified', async () => {
    for (const id of ['first', 'second']) await open.submit(startOf(id, true));
    await open.submit(startOf(RUN, true));
    await open.submit(waitFor('signal', 'signal:go', 'go'));
    await open.submit(changeOf(RUN, SUSPENDED));
    for (const id of ['first', 'second']) await open.submit(changeOf(id));
    await fixture.admin.query(
      `UPDATE durable.workflow_runs SET continued_as = CASE id WHEN 'first' THEN 'second' WHEN 'second' THEN $1 END,
         chain_nonce = (SELECT start_nonce FROM durable.workflow_runs WHERE id = 'first')`,
      [RUN],
    );
    await send('signal', 'go', 'first');
    expect(await sweepAndNotify(open.database)).toEqual({ notified: [RUN], cancelled: [] });
    expect(await run()).toMatchObject({ status: 'pending', wake_count: 1 });
    expect(await fixture.admin.query('SELECT run_id FROM durable.workflow_inbox')).toEqual([{ run_id: RUN }]);
    expect(await sweepAndNotify(open.database)).toEqual(quiet);
  });

  it('cancels a child in the sweep, and the parent receives a message', async () => {
    await open.submit(startOf(RUN, true));
    const child = {
      ...(startOf('child', false) as Extract<Transition, { kind: 'start' }>).run,
      parentRunId: RUN,
      parentStepKey: 'invoke:x',
    };
    await open.submit({ ...(waitFor('child', 'invoke:x', 'child') as Extract<Transition, { kind: 'wait' }>), child });
    await open.submit(changeOf(RUN, SUSPENDED));
    await fixture.admin.query(
      `INSERT INTO durable.workflow_inbox (run_id, kind, payload, created_at) VALUES ('child', 'cancel', '{"reason":"enough"}', now() - interval '1 minute')`,
    );
    expect(await sweepAndNotify(open.database)).toEqual({ notified: [RUN], cancelled: ['child'] });
    expect(await run()).toMatchObject({ status: 'pending' });
    const [message] = await fixture.admin.query('SELECT run_id, kind, name, payload FROM durable.workflow_inbox');
    expect(message).toMatchObject({ run_id: RUN, kind: 'child_failed', name: 'invoke:x', payload: { name: 'WorkflowCancelledError' } });
  });
});
