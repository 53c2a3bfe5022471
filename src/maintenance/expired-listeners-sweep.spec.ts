import { afterAll, beforeAll, expect, it } from '@jest/globals';

import { JournalFixture, type OpenJournal } from '../../test/support/faults/journal-fixture.js';
import { forgetEvents } from '../store/sql/subscriptions.js';
import { ExpiredListenersSweep } from './expired-listeners-sweep.js';

let fixture: JournalFixture;
let open: OpenJournal;
beforeAll(async () => {
  fixture = await JournalFixture.create();
  open = await fixture.journal({ pooler: 'transaction' });
});
afterAll(() => fixture.close());

it('removes a listener that no process has had for a day, with its events, and keeps the others', async () => {
  await fixture.admin.query(`INSERT INTO durable.workflow_subscriptions (listener, event, workflow, expires_at) VALUES
    ('gone', 'run.failed', '', now() - interval '2 minutes'), ('here', 'run.failed', '', now() + interval '1 hour'),
    ('just expired', 'run.failed', '', now() - interval '1 second')`);
  await fixture.admin.query(`INSERT INTO durable.workflow_run_events (run_id, listener, event, facts)
    SELECT 'run-' || n, l, 'run.failed', '{}' FROM generate_series(1, 2500) n, unnest(ARRAY['gone', 'here', 'just expired']) l WHERE l = 'gone' OR n = 1`);
  const lines: string[] = [];
  const sweep = new ExpiredListenersSweep(open.database, (line) => lines.push(line));
  const { signal } = new AbortController();
  // While the process knows no listener, the sweep does nothing.
  await sweep.run(signal);
  expect(lines).toEqual([]);
  open.database.listened.refresh(['run.failed']);
  await sweep.run(signal);
  await sweep.run(signal);
  expect(lines).toEqual(['sweep: removed 2500 events of listener gone, which no process has had for a day']);
  expect(await fixture.admin.query('SELECT DISTINCT listener FROM durable.workflow_run_events ORDER BY 1')).toEqual([
    { listener: 'here' },
    { listener: 'just expired' },
  ]);
  expect(await fixture.admin.query('SELECT listener FROM durable.workflow_subscriptions ORDER BY 1')).toEqual([
    { listener: 'here' },
    { listener: 'just expired' },
  ]);
});

it('keeps the events of a listener that has come back since the sweep has listed it', async () => {
  await fixture.admin.query(`INSERT INTO durable.workflow_subscriptions (listener, event, workflow, expires_at)
    VALUES ('back', 'run.failed', '', now() - interval '2 minutes')`);
  await fixture.admin.query(`INSERT INTO durable.workflow_run_events (run_id, listener, event, facts)
    SELECT 'run-' || n, 'back', 'run.failed', '{}' FROM generate_series(1, 2) n`);
  expect(await forgetEvents(open.database, 'back', 1)).toBe(1);
  await fixture.admin.query(`UPDATE durable.workflow_subscriptions SET expires_at = now() + interval '1 day' WHERE listener = 'back'`);
  expect(await forgetEvents(open.database, 'back', 1)).toBe(0);
});
