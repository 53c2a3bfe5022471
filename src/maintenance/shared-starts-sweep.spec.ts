import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { JournalFixture, type OpenJournal } from '../../test/support/faults/journal-fixture.js';
import { sweepInbox } from '../store/sql/sweep-inbox.js';
import { sweepSharedStarts } from './shared-starts-sweep.js';

describe('the sweep of shared starts', () => {
  let fixture: JournalFixture;
  let open: OpenJournal;
  beforeAll(async () => {
    fixture = await JournalFixture.create();
    open = await fixture.journal();
  });
  afterAll(() => fixture.close());

  const found = async (): Promise<string[]> => [...(await sweepInbox(open.database, 1e9)).work];
  const sweep = (): Promise<void> => sweepSharedStarts(open.database, { due: async () => undefined }, new AbortController().signal);

  it('has work only when a start waits for its decision or a key is old', async () => {
    expect(await found()).toEqual([]);
    await fixture.admin.query(
      `INSERT INTO durable.workflow_shared_starts (kind, name, key, run_id, first_at, until, nonces)
       SELECT 'throttle', 'w', at, 'run', now(), at::timestamptz, '{}' FROM unnest('{2020-01-01,2999-01-01}'::text[]) AS at`,
    );
    expect(await found()).toEqual(['shared starts']);
    await sweep();
    expect(await fixture.admin.query('SELECT key FROM durable.workflow_shared_starts')).toEqual([{ key: '2999-01-01' }]);
    expect(await found()).toEqual([]);
    await fixture.admin.query(
      `INSERT INTO durable.workflow_start_requests (run_id, kind, name, key, period_ms, nonce) VALUES ('gone', 'debounce', 'w', 'k', 10, 1)`,
    );
    expect(await found()).toEqual(['shared starts']);
    await sweep();
    expect(await found()).toEqual([]);
  });
});
