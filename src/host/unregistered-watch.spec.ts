import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';

import { JournalFixture, startOf, type OpenJournal } from '../../test/support/faults/journal-fixture.js';
import { waitFor } from '../../test/support/wait.js';
import type { DispatchKey } from '../core/run.js';
import { UnregisteredWatch } from './unregistered-watch.js';

const STOPPED = { state: 'stopped', runs: 0, slots: 0, freeSlots: 0, unwritable: [] } as const;

describe('the watch for runs that no worker executes', () => {
  let fixture: JournalFixture;
  let open: OpenJournal;
  let watch: UnregisteredWatch | undefined;
  let warnings: string[];
  let queries = 0;
  beforeEach(async () => {
    fixture = await JournalFixture.create();
    open = await fixture.journal();
    warnings = [];
  });
  afterEach(async () => {
    await watch?.stop();
    await fixture.close();
  });

  const start = (keys: readonly DispatchKey[] | undefined): void => {
    const worker = () => {
      queries++;
      return { health: STOPPED, keys };
    };
    const warn = (_code: string, message: string): void => void warnings.push(message);
    watch = new UnregisteredWatch(open.database, { worker, now: () => Date.now(), warn, checkAfterMs: 20, checkSoonMs: 20 });
    watch.note();
  };
  const noSessions = () => fixture.admin.query('DELETE FROM durable.workflow_sessions');
  const warned = () => waitFor(() => warnings.length > 0, { message: 'a warning' });

  it('warns once about all workflows when no process executes runs', async () => {
    await open.submit(startOf('one', false));
    await noSessions();
    start(undefined);
    await warned();
    expect(warnings[0]).toContain('1 run of "order" version 1 in queue "default" due since');
    expect(warnings[0]).toContain('no process executes runs: is the worker off (`worker: false` or DURABLE_WORKER=off)?');
    await open.submit(startOf('two', false, { name: 'other' }));
    const before = queries;
    await waitFor(() => {
      watch!.note();
      return queries >= before + 2;
    });
    await watch!.stop();
    expect(warnings).toHaveLength(1);
  });

  it('does not warn about workflows of another live process, and warns once after its session has expired', async () => {
    await open.submit(startOf('one', false));
    await fixture.admin.query(
      `UPDATE durable.workflow_sessions SET serves = ARRAY[E'default\\norder\\n1'], expires_at = now() + interval '1 hour'`,
    );
    await open.submit(startOf('two', false, { queue: 'mails' }));
    start([]);
    await warned();
    expect(warnings).toEqual([expect.stringContaining('in queue "mails"')]);
    expect(warnings[0]).toContain(
      'no live worker executes it (live workers execute it from queue "default"). Correct the queue, or add "mails"',
    );
    await fixture.admin.query(`UPDATE durable.workflow_sessions SET expires_at = now() - interval '1 hour'`);
    await waitFor(() => warnings.length > 1);
    expect(warnings[1]).toContain('in queue "default"');
  });

  it('does not warn about workflows that this process executes', async () => {
    await open.submit(startOf('one', false));
    await open.submit(startOf('two', false, { name: 'other' }));
    start([{ queue: 'default', name: 'order', version: 1 }]);
    await warned();
    expect(warnings).toEqual([expect.stringContaining('"other"')]);
  });

  it('ends the query that waits for a lock when it stops, and begins no other', async () => {
    await open.submit(startOf('one', false));
    await noSessions();
    const holder = await open.database.pool.connect();
    await holder.query('BEGIN; LOCK TABLE durable.workflow_sessions');
    start([]);
    const waiting = `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`;
    await waitFor(async () => (await fixture.admin.query(waiting)).length === 1, { message: 'a check' });
    await watch!.stop();
    expect(await fixture.admin.query(waiting)).toEqual([]);
    await holder.query('COMMIT');
    holder.release();
    watch!.note();
    await watch!.stop();
    expect(warnings).toEqual([]);
  });

  it('checks soon a run that no worker was known to serve, and does not check other runs', async () => {
    const order = { queue: 'default', name: 'order', version: 1 };
    const keys: DispatchKey[] = [];
    let checks = 0;
    const worker = () => {
      checks++;
      return { health: STOPPED, keys: keys.length > 0 ? keys : undefined };
    };
    const warn = (_code: string, message: string): void => void warnings.push(message);
    await noSessions();
    await open.submit(startOf('one', false));
    watch = new UnregisteredWatch(open.database, { worker, now: () => Date.now(), warn, checkAfterMs: 600_000, checkSoonMs: 20 });
    watch.note([order]);
    await warned();
    expect(warnings).toEqual([expect.stringContaining('"order" version 1 in queue "default"')]);
    // A worker serves "order" now, and the watch remembers this after its next check.
    keys.push(order);
    const before = checks;
    watch.note([order]);
    await waitFor(() => checks >= before + 2);
    const settled = checks;
    for (let n = 0; n < 100; n++) watch.note([order]);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(checks).toBe(settled);
    // Runs of the workflow were served in between, so the watch warns about them again.
    keys.length = 0;
    watch.note([{ ...order, name: 'unknown' }]);
    await waitFor(() => warnings.length > 1);
    expect(warnings[1]).toBe(warnings[0]);
  });
});
