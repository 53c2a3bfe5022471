import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { JournalFixture, changeOf, startOf, stepOf, submit, newSession } from '../../test/support/faults/journal-fixture.js';
import { requestCancel, sweepAndNotify } from '../../test/support/faults/requests.js';
import { SeededNumbers } from '../../test/support/faults/seeded-numbers.js';
import { DatabaseClock } from '../core/clock.js';
import { Database } from './database.js';
import { Journal } from './journal.js';
import { claimRuns } from './sql/claim-runs.js';
import { deleteRuns } from './sql/delete-runs.js';
import { endRuns } from './sql/end-runs.js';
import { findTrees } from './sql/run-trees.js';
import { closeSession, takeOver } from './sql/sessions.js';
import { wakeDueRuns } from './sql/timers.js';

const FOR_MS = process.env['DURABLE_CHAOS'] ? 30_000 : 2_500;
const RUNS = 150;
/** Minimum number of claims, however slow the machine is. At least one run is deleted, too. */
const LEAST_ROUNDS = 20;

describe('flushes, claims, takeovers, closed sessions and sweeps over the same runs', () => {
  let fixture: JournalFixture;
  beforeAll(async () => {
    fixture = await JournalFixture.create();
  });
  afterAll(() => fixture.close());

  it('never fail a caller with a deadlock', async () => {
    const { submit: start, database } = await fixture.journal({ poolSize: 10 });
    const ids = Array.from({ length: RUNS }, (_, index) => `run-${index}`);
    await Promise.all(ids.map((id) => start(startOf(id, false))));
    const random = new SeededNumbers(20_240_501);
    const until = performance.now() + FOR_MS;
    const errors: string[] = [];
    let rounds = 0;
    let deletions = 0;
    const isOver = (): boolean => errors.length > 0 || (performance.now() >= until && rounds >= LEAST_ROUNDS && deletions > 0);
    const sessions = new Set<string>();
    const keys = [{ queue: 'default', name: 'order', version: 1 }];

    const loop = async (what: string, once: () => Promise<unknown>): Promise<void> => {
      while (!isOver()) {
        await once().catch((error: unknown) => errors.push(`${what}: ${String((error as { code?: string }).code ?? error)}`));
        await new Promise((resolve) => setTimeout(resolve, random.below(4)));
      }
    };

    /**
     * A worker that claims runs, writes steps, and suspends or hands back the runs. In the middle
     * it closes its session, or its session is taken over.
     */
    const worker = async (): Promise<void> => {
      const own = new Database({ connectionString: fixture.admin.url }, { poolSize: 2 });
      const ignore = (): void => undefined;
      const journal = new Journal(own, new DatabaseClock(), { fenced: ignore, moved: () => Promise.resolve(), trouble: ignore });
      try {
        while (!isOver()) {
          const fence = await newSession(own);
          sessions.add(fence.id);
          journal.useSession(fence);
          const runs = await claimRuns(own, { fence, keys, deploymentId: 'test', limit: 60 });
          rounds++;
          const shuffled = runs.map((run) => ({ run, by: random.below(1_000) })).sort((a, b) => a.by - b.by);
          const work = shuffled.flatMap(({ run: { id, epoch } }) => {
            const change =
              random.below(2) === 0 ? ({ status: 'pending' } as const) : ({ status: 'waiting', wakeAt: Date.now(), wakeCount: 0 } as const);
            return [
              submit(journal, { ...stepOf(id, epoch), epoch } as never),
              submit(journal, { ...changeOf(id, change), epoch } as never),
            ];
          });
          if (random.below(2) === 0) await closeSession(own, fence.id);
          for (const { reason } of (await Promise.allSettled(work)).filter((each) => each.status === 'rejected')) {
            if (reason.code !== 'FENCED') errors.push(`flush: ${String(reason.code ?? reason)}`);
          }
          sessions.delete(fence.id);
        }
      } catch (error) {
        errors.push(`worker: ${String((error as { code?: string }).code ?? error)}`);
      } finally {
        journal.close();
        await own.close();
      }
    };

    await Promise.all([
      ...Array.from({ length: 4 }, worker),
      loop('takeover', () => takeOver(database, [...sessions].slice(0, 1 + random.below(3)), 'unlocked')),
      loop('takeover', () => takeOver(database, [...sessions].reverse(), 'unlocked')),
      loop('timers', () => wakeDueRuns(database, 100)),
      loop('inbox', () => sweepAndNotify(database)),
      loop('cancel', () => requestCancel(database, ids[random.below(RUNS)]!, '{}', '{}')),
      // Ends some runs, and deletes them together with runs that others change.
      loop('deletion', async () => {
        const some = Array.from({ length: 20 }, () => `run-${random.below(RUNS)}`);
        const errorsOf = new Map(some.map((id) => [id, '{}']));
        const ending = {
          status: 'cancelled',
          errorCode: 'TERMINATED',
          event: 'terminated',
          note: null,
          which: 'any',
          whereLocked: 'leave out',
        } as const;
        if (random.below(4) === 0) await endRuns(database, { ...ending, errors: errorsOf });
        await fixture.admin.query(`UPDATE durable.workflow_runs SET finished_at = finished_at - interval '1 minute' WHERE id IN
          (SELECT id FROM durable.workflow_runs WHERE finished_at IS NOT NULL ORDER BY id FOR UPDATE SKIP LOCKED)`);
        const found = await findTrees(
          database,
          some.map((id) => ({ id })),
        );
        const gone = await deleteRuns(database, found, 'leave out');
        deletions += gone.length;
        await Promise.all(gone.map((id) => start(startOf(id, false))));
      }),
      loop('age', () => fixture.admin.query(`UPDATE durable.workflow_inbox SET created_at = now() - interval '1 minute'`)),
      // A separate statement claims lost runs. Here they are reset, so that the usual claim takes
      // them.
      loop('forget', () =>
        fixture.admin.query(
          'UPDATE durable.workflow_runs SET worker_losses = 0 WHERE id IN (SELECT id FROM durable.workflow_runs WHERE worker_losses > 0 ORDER BY id FOR UPDATE SKIP LOCKED)',
        ),
      ),
    ]);
    expect(errors).toEqual([]);
  });
});
