import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';

import { JournalFixture, changeOf, startOf, stepOf, type OpenJournal } from '../../test/support/faults/journal-fixture.js';
import { FaultProxy } from '../../test/support/faults/proxy.js';
import type { RunEventName, RunListener } from '../core/run-events.js';
import { postponeEvent, removeEvents, takeEvents } from './sql/deliver-events.js';
import { expireRuns, type EndedLife } from './sql/delete-runs.js';
import { endRuns } from './sql/end-runs.js';
import { subscribe } from './sql/subscriptions.js';

const AGES = { ttlMs: 60_000, renewAfterMs: 10_000 };
const LEASE_MS = 60_000;

const listenerOf = (event: RunEventName, workflow = ''): RunListener => ({
  key: `Test.on ${event}`,
  name: 'Test.on',
  event,
  workflow,
  delivery: 'in process',
  call: () => undefined,
});
const failed = (runId: string) =>
  changeOf(runId, {
    status: 'failed',
    output: null,
    error: '{"name":"Error"}',
    failure: { code: 'BROKEN', step: 'charge' },
    leftovers: 'some',
  });
const failedStep = (runId: string) => stepOf(runId, 1, { status: 'failed', output: null, error: '{"name":"Error"}', attempts: 3 });

describe('events of runs', () => {
  let fixture: JournalFixture;
  let open: OpenJournal;
  beforeEach(async () => {
    fixture = await JournalFixture.create();
    open = await fixture.journal();
  });
  afterEach(() => fixture.close());

  const listen = async (...listeners: RunListener[]): Promise<void> =>
    open.database.listened.refresh(await subscribe(open.database, listeners, AGES));
  const recorded = () =>
    fixture.admin.query<{ run_id: string; event: string; facts: Record<string, unknown> }>(
      'SELECT run_id, event, facts FROM durable.workflow_run_events ORDER BY run_id, event',
    );

  it('are recorded for the events and workflows that have a listener, and for no others', async () => {
    await listen(listenerOf('run.failed', 'order'), listenerOf('step.failed'));
    for (const name of ['order', 'other', 'durable-listener:Test.on']) await open.submit(startOf(name, true, { name }));
    await open.submit(startOf('completes', true));
    await Promise.all(
      ['order', 'other', 'durable-listener:Test.on'].flatMap((id) => [open.submit(failedStep(id)), open.submit(failed(id))]),
    );
    await Promise.all([open.submit(stepOf('completes', 1)), open.submit(changeOf('completes'))]);
    expect(await recorded()).toEqual([
      { run_id: 'order', event: 'run.failed', facts: expect.objectContaining({ status: 'failed', code: 'BROKEN', failedStep: 'charge' }) },
      { run_id: 'order', event: 'step.failed', facts: expect.objectContaining({ stepKey: 'step#1', attempts: 3 }) },
      { run_id: 'other', event: 'step.failed', facts: expect.objectContaining({ workflow: 'other', status: 'running' }) },
    ]);
  });

  it('keep the tags of a run that retention has deleted, also beside a new run with its id', async () => {
    await listen(listenerOf('run.failed'));
    await open.submit(startOf('order', true, { tags: { customer: 'ann' } }));
    await open.submit(startOf('untagged', true));
    await Promise.all([open.submit(failed('order')), open.submit(failed('untagged'))]);
    const lives = await fixture.admin.query<EndedLife>('SELECT id, start_nonce::text AS nonce, epoch FROM durable.workflow_runs');
    expect((await expireRuns(open.database, lives)).toSorted()).toEqual(['order', 'untagged']);
    await open.submit(startOf('order', true, { tags: { customer: 'bob' } }));
    const taken = await takeEvents(open.database, new Map([[listenerOf('run.failed').key, 10]]), LEASE_MS);
    expect(new Map(taken.map(({ runId, tags }) => [runId, tags]))).toEqual(
      new Map([
        ['order', { customer: 'ann' }],
        ['untagged', {}],
      ]),
    );
  });

  it('are recorded once when the response to a flush is lost', async () => {
    const proxy = await FaultProxy.start(fixture.admin.url);
    const behind = await fixture.journal({ url: proxy.url });
    behind.database.listened.refresh(await subscribe(behind.database, [listenerOf('run.failed'), listenerOf('step.failed')], AGES));
    await behind.submit(startOf('lost', true));
    for (const transition of [failedStep('lost'), failed('lost')]) {
      const cut = proxy.cutAfterCommit('durable_flush_');
      const written = behind.submit(transition);
      await cut;
      await expect(written).resolves.toMatchObject({ outcome: 'done' });
    }
    expect((await recorded()).map(({ event }) => event)).toEqual(['run.failed', 'step.failed']);
    await proxy.stop();
  });

  it('are not recorded by a worker whose run was terminated, nor by one whose session is gone', async () => {
    await listen(listenerOf('run.failed'), listenerOf('run.cancelled'), listenerOf('step.failed'));
    await Promise.all([open.submit(startOf('ended', true)), open.submit(startOf('taken', true))]);
    const ending = { status: 'cancelled', errorCode: 'TERMINATED', event: 'terminated', note: null, which: 'any' } as const;
    await endRuns(open.database, { ...ending, errors: new Map([['ended', '{}']]), whereLocked: 'fail' });
    await Promise.allSettled([open.submit(failedStep('ended')), open.submit(failed('ended'))]);
    await fixture.admin.query('DELETE FROM durable.workflow_sessions WHERE id = $1', [open.sessionId]);
    await Promise.allSettled([open.submit(failedStep('taken')), open.submit(failed('taken'))]);
    expect((await recorded()).map(({ run_id, event }) => [run_id, event])).toEqual([['ended', 'run.cancelled']]);
  });

  it.each([undefined, 'transaction'] as const)(
    'are taken by one of several processes, each listener up to its room, and again after a time (pooler: %s)',
    async (pooler) => {
      const { database } = await fixture.journal({ pooler });
      await listen(listenerOf('run.failed'), listenerOf('run.completed'));
      await subscribe(database, [listenerOf('run.failed')], AGES);
      const ids = Array.from({ length: 10 }, (_, index) => `run-${index}`);
      await Promise.all(ids.map((id) => open.submit(startOf(id, true))));
      await Promise.all(ids.map((id, index) => open.submit(index < 5 ? failed(id) : changeOf(id))));
      const room = new Map([
        ['Test.on run.failed', 2],
        ['Test.on run.completed', 10],
      ]);
      const [one, two] = await Promise.all([takeEvents(database, room, LEASE_MS), takeEvents(open.database, room, LEASE_MS)]);
      const taken = [...one, ...two];
      expect(new Set(taken.map(({ runId }) => runId)).size).toBe(taken.length);
      expect(taken.filter(({ event }) => event === 'run.failed').length).toBeLessThanOrEqual(4);
      expect(taken.filter(({ event }) => event === 'run.completed')).toHaveLength(5);
      await removeEvents(database, taken.slice(1));
      await postponeEvent(database, taken[0]!, 0);
      const [again] = await takeEvents(database, new Map([[taken[0]!.listener, 10]]), LEASE_MS);
      expect([again!.id, again!.attempt]).toEqual([taken[0]!.id, 2]);
      // The first process's time for the event is over.
      await postponeEvent(database, taken[0]!, 0);
      expect(await takeEvents(database, new Map([[taken[0]!.listener, 10]]), LEASE_MS)).toEqual([]);
    },
  );
});
