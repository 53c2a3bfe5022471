import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';

import { JournalFixture, changeOf, startOf, stepOf, waitOf, type OpenJournal } from '../../test/support/faults/journal-fixture.js';
import type { Transition } from '../core/transition.js';
import { claimRuns } from './sql/claim-runs.js';
import { retryRun } from './sql/retry-run.js';

const RUN = 'run';
const KEYS = [{ queue: 'default', name: 'order', version: 1 }];
const RETRY = { runId: RUN, generation: 0, fromStep: 'step#2', note: '{}' };
const failed = changeOf(RUN, {
  status: 'failed',
  output: null,
  error: '{"name":"Error","message":"no"}',
  failure: { code: 'NO', step: 'step' },
  leftovers: 'some',
});

describe('the retry of a failed run', () => {
  let fixture: JournalFixture;
  let open: OpenJournal;
  beforeAll(async () => {
    fixture = await JournalFixture.create();
  });
  beforeEach(async () => {
    await fixture.admin.query(
      'TRUNCATE durable.workflow_runs, durable.workflow_steps, durable.workflow_inbox, durable.workflow_run_log, durable.workflow_waits',
    );
    open = await fixture.journal();
    await open.submit(startOf(RUN, true, { timeoutMs: 60_000 }));
    await open.submit(stepOf(RUN, 1));
    await open.submit(stepOf(RUN, 2, { status: 'failed', output: null, error: '{}' }));
    await open.submit(stepOf(RUN, 3));
  });
  afterAll(() => fixture.close());

  const run = async (): Promise<Record<string, unknown>> => (await fixture.admin.query('SELECT * FROM durable.workflow_runs'))[0];
  const steps = async (): Promise<string[]> =>
    (await fixture.admin.query('SELECT step_key FROM durable.workflow_steps ORDER BY seq')).map(({ step_key }) => step_key);

  it('makes the run due in its next generation and epoch, and clears the columns of its end', async () => {
    await open.submit(failed);
    expect(await retryRun(open.database, RETRY)).toEqual(KEYS[0]);
    expect(await run()).toMatchObject({ status: 'pending', generation: 1, epoch: 2, session_id: null, ready_at: expect.any(Date) });
    const cleared = { finished_at: null, error: null, output: null, error_code: null, failed_step: null, continued_as: null };
    expect(await run()).toMatchObject({ ...cleared, deadline_at: expect.any(Date) });
    expect(await steps()).toEqual(['step#1']);
  });

  it.each<[string, Transition]>([
    ['a result', stepOf(RUN, 2)],
    ['a result of another step', stepOf(RUN, 9)],
    ['an end', changeOf(RUN)],
    ['a wait', waitOf(RUN, 'late', 1)],
  ])('lets the run refuse late writes of its former owner: %s', async (_, late) => {
    await open.submit(failed);
    await retryRun(open.database, RETRY);
    const seen = async (): Promise<unknown> => [
      await run(),
      await steps(),
      await fixture.admin.query('SELECT * FROM durable.workflow_waits'),
    ];
    for (const owner of ['nobody', 'the same session']) {
      if (owner !== 'nobody') await claimRuns(open.database, { fence: open.fence, keys: KEYS, deploymentId: 'test', limit: 1 });
      const before = await seen();
      await open.submit(late).catch((error: unknown) => expect(error).toMatchObject({ code: 'FENCED' }));
      expect(await seen()).toEqual(before);
    }
  });

  it('removes all steps after the delivery of a deadline, wherever the retry begins', async () => {
    await open.submit(stepOf(RUN, 4, { kind: 'cancel', stepKey: '$cancel', error: '{}' }));
    await open.submit(stepOf(RUN, 5));
    await open.submit(failed);
    await retryRun(open.database, { ...RETRY, fromStep: 'step#5' });
    expect(await steps()).toEqual(['step#1', 'step#2', 'step#3']);
  });

  it('puts taken signals back before newer ones, and deletes earlier requests', async () => {
    await open.submit(stepOf(RUN, 4, { kind: 'signal', stepKey: 'signal:go', output: '"first"' }));
    await open.submit(stepOf(RUN, 5, { kind: 'signal', stepKey: 'signal:go#2', output: '"second"' }));
    await open.submit(stepOf(RUN, 6, { kind: 'signal', stepKey: 'signal:go#3', output: 'null' }));
    await fixture.admin.query(
      `INSERT INTO durable.workflow_inbox (run_id, kind, name, payload) VALUES ('run', 'signal', 'go', '"third"'), ('run', 'cancel', NULL, NULL), ('run', 'pause', NULL, NULL)`,
    );
    await open.submit(failed);
    await fixture.admin.query(`INSERT INTO durable.workflow_inbox (run_id, kind) VALUES ('run', 'cancel')`);
    await retryRun(open.database, RETRY);
    const messages = await fixture.admin.query('SELECT kind, name, payload FROM durable.workflow_inbox ORDER BY id');
    expect(messages).toEqual(['first', 'second', 'third'].map((payload) => ({ kind: 'signal', name: 'go', payload })));
  });

  it('does not change a run that is not failed, or was retried in the meantime', async () => {
    expect(await retryRun(open.database, RETRY)).toBeUndefined();
    await open.submit(failed);
    expect(await retryRun(open.database, { ...RETRY, generation: 1 })).toBeUndefined();
    expect(await run()).toMatchObject({ status: 'failed', generation: 0 });
    expect(await steps()).toHaveLength(3);
  });
});
