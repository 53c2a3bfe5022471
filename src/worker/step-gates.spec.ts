import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';

import { JournalFixture, type OpenJournal } from '../../test/support/faults/journal-fixture.js';
import { waitFor } from '../../test/support/wait.js';
import { DatabaseClock } from '../core/clock.js';
import { checkStepLimit, type StepLimitOptions } from '../core/queue-limits.js';
import type { LimitedStep } from '../engine/step-limits-port.js';
import { declareQueue, refreshKnownQueues } from '../store/sql/queues.js';
import { StepGates } from './step-gates.js';

const OPTIONS: StepLimitOptions = { concurrency: 1, rateLimit: { limit: 10, period: '1s' } };

describe('the gate of a limit, while a statement fails', () => {
  let fixture: JournalFixture;
  let open: OpenJournal;
  let isWaiting: boolean;
  let failures: number;
  beforeAll(async () => {
    fixture = await JournalFixture.create();
    open = await fixture.journal();
    const limits = checkStepLimit(OPTIONS, 'limits.stripe');
    await declareQueue(open.database, { kind: 'step', name: 'stripe', json: JSON.stringify(OPTIONS), limits });
  });
  beforeEach(() => {
    isWaiting = true;
    failures = 0;
  });
  afterAll(() => fixture.close());

  const step: LimitedStep = { runId: 'run', stepKey: 'charge', queueKey: '', isWaiting: () => isWaiting, permitted: () => undefined };
  const gates = (failed: () => void): StepGates =>
    new StepGates(open.database, { sessionId: () => open.sessionId, clock: new DatabaseClock(), failed });
  const places = (): Promise<unknown[]> => fixture.admin.query('SELECT run_id FROM durable.workflow_step_places');

  it('does not take the limit for a missing one', async () => {
    await fixture.admin.query('ALTER TABLE durable.workflow_queues RENAME TO hidden');
    const answer = gates(() => failures++).request('stripe', step);
    await waitFor(() => failures > 0);
    await fixture.admin.query('ALTER TABLE durable.hidden RENAME TO workflow_queues');
    expect(await answer).toBe('requested');
    isWaiting = false;
  });

  it('gives the place of a step back that was cancelled meanwhile', async () => {
    await refreshKnownQueues(open.database);
    await fixture.admin.query('DELETE FROM durable.workflow_step_places');
    await fixture.admin.query('ALTER FUNCTION durable.workflow_reserve_slot(text, text, text) RENAME TO hidden');
    let taken: Promise<unknown[]> | undefined;
    await gates(() => {
      isWaiting = false;
      taken = places();
    }).request('stripe', step);
    await waitFor(() => taken);
    await waitFor(async () => (await places()).length === 0);
    await fixture.admin.query('ALTER FUNCTION durable.hidden(text, text, text) RENAME TO workflow_reserve_slot');
  });
});
