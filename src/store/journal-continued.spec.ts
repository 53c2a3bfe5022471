import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { changeOf, JournalFixture, startOf, stepOf, type OpenJournal } from '../../test/support/faults/journal-fixture.js';
import type { NewRun } from '../core/run.js';
import type { Transition } from '../core/transition.js';

describe('the flush that continues a run', () => {
  let fixture: JournalFixture;
  let open: OpenJournal;
  beforeAll(async () => {
    fixture = await JournalFixture.create();
    open = await fixture.journal();
  });
  afterAll(() => fixture.close());

  it('deletes the signal that the run has taken, and moves the others', async () => {
    await open.submit(startOf('old', true));
    await fixture.admin.query(`INSERT INTO durable.workflow_inbox (run_id, kind, name, payload)
      SELECT 'old', 'signal', 'item', to_json(n) FROM generate_series(1, 3) AS n`);
    const [first] = await fixture.admin.query<{ id: string }>(`SELECT id::text FROM durable.workflow_inbox ORDER BY id LIMIT 1`);
    const { run } = startOf('new', false) as { run: NewRun };
    const end = { status: 'completed', output: 'null', error: null, leftovers: 'some', parent: null, continuedAs: run } as const;
    await Promise.all([
      open.submit({ ...stepOf('old', 1, { kind: 'signal', stepKey: 'signal:item' }), takes: first!.id } as Transition),
      open.submit(changeOf('old', end)),
    ]);
    expect(await fixture.admin.query('SELECT run_id, payload FROM durable.workflow_inbox ORDER BY id')).toEqual([
      { run_id: 'new', payload: 2 },
      { run_id: 'new', payload: 3 },
    ]);
  });
});
