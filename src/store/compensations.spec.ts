import { afterAll, beforeAll, expect, it } from '@jest/globals';

import { JournalFixture, newSession, startOf } from '../../test/support/faults/journal-fixture.js';
import type { StepRecord } from '../core/step.js';
import { Database } from './database.js';
import { toFlushRows } from './flush-rows.js';
import { findOverdueRuns } from './sql/end-runs.js';
import { flush } from './sql/flush.js';
import { loadHistories } from './sql/load-histories.js';

let fixture: JournalFixture;
let database: Database;
beforeAll(async () => {
  fixture = await JournalFixture.create();
  database = new Database({ connectionString: fixture.admin.url }, { poolSize: 1 });
});
afterAll(async () => {
  await database.close();
  await fixture.close();
});

const step = (stepKey: string, args?: string): StepRecord => ({
  stepKey,
  kind: 'step',
  seq: 1,
  status: 'completed',
  output: '1',
  error: null,
  attempts: 1,
  calledAfter: 0,
  calledAfterIo: false,
  argsHash: null,
  startedAt: 1,
  finishedAt: 1,
  ...(args === undefined ? {} : { compensateArgs: args }),
});
const record = (runId: string, result: StepRecord) =>
  ({ kind: 'step', runId, epoch: 1, step: result, closesWait: false, takes: null }) as const;

it('one flush stores steps with and without a compensation, and the deadline sweep ends only the run without one', async () => {
  const fence = await newSession(database, 600_000);
  await flush(database, fence, toFlushRows(['run-1', 'run-2'].map((id) => startOf(id, true))));
  const rows = toFlushRows([record('run-1', step('a')), record('run-2', step('charge', '["book",2]'))]);
  expect(rows).toMatchObject({ steps: { length: 0 }, undoableSteps: { length: 2 } });
  expect(await flush(database, fence, rows)).toMatchObject({ steps: 2 });
  const histories = await loadHistories(database, ['run-1', 'run-2']);
  expect(histories.get('run-1')!.steps).toEqual([step('a')]);
  expect(histories.get('run-2')!.steps).toEqual([step('charge', '["book",2]')]);

  await fixture.admin.query(`UPDATE durable.workflow_runs SET status = 'waiting', session_id = NULL, is_blocked = true,
    deadline_at = now() - interval '1 hour'`);
  expect(await findOverdueRuns(database, [])).toEqual(['run-1']);
});

it('a flush without a compensation does not write the column for its arguments', () => {
  expect(toFlushRows([record('run-1', step('a'))])).toMatchObject({ steps: { length: 1 }, undoableSteps: { length: 0 } });
});
