import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';

import { JournalFixture, type OpenJournal } from '../../test/support/faults/journal-fixture.js';
import { waitFor } from '../../test/support/wait.js';
import { DatabaseClock } from '../core/clock.js';
import { sleep } from '../core/timers.js';
import { checkStepLimit, type StepLimitOptions } from '../core/queue-limits.js';
import type { LimitedStep, StepPermit } from '../engine/step-limits-port.js';
import { declareQueue, refreshKnownQueues } from '../store/sql/queues.js';
import { StepGates } from './step-gates.js';

describe('the gate of a limit', () => {
  let fixture: JournalFixture;
  let open: OpenJournal;
  let failures: number;
  let isWaiting: boolean;
  beforeAll(async () => {
    fixture = await JournalFixture.create();
    open = await fixture.journal();
  });
  const used: StepGates[] = [];
  beforeEach(() => {
    failures = 0;
    isWaiting = true;
  });
  afterEach(async () => {
    isWaiting = false;
    // A gate of this test must not ask for places, nor be counted, in the next test.
    for (const gate of used.splice(0)) await waitFor(() => gate.size === 0);
    await fixture.admin.query('DELETE FROM durable.workflow_step_places');
  });
  afterAll(() => fixture.close());

  async function declare(name: string, options: StepLimitOptions): Promise<void> {
    await declareQueue(open.database, {
      kind: 'step',
      name,
      json: JSON.stringify(options),
      limits: checkStepLimit(options, `limits.${name}`),
    });
    await refreshKnownQueues(open.database);
  }
  const gates = (failed: () => void = () => failures++, sessionId: () => string | undefined = () => open.sessionId): StepGates => {
    const made = new StepGates(open.database, { sessionId, clock: new DatabaseClock(), failed });
    used.push(made);
    return made;
  };
  const step = (stepKey: string, permitted: (permit: StepPermit) => void = () => undefined, queueKey = ''): LimitedStep => {
    let isPermitted = false;
    return {
      runId: 'run',
      stepKey,
      queueKey,
      isWaiting: () => isWaiting && !isPermitted,
      permitted: (permit) => {
        isPermitted = true;
        permitted(permit);
      },
    };
  };
  const places = async (): Promise<number> => (await fixture.admin.query('SELECT 1 FROM durable.workflow_step_places')).length;

  /** Counts the statements of the gates from now on. */
  function counting(): () => number {
    const { database } = open;
    const query = database.query.bind(database);
    let count = 0;
    database.query = (statement, values) => {
      count++;
      return query(statement, values);
    };
    return () => count;
  }

  it('does not take a limit that cannot be read for a missing one', async () => {
    await declare('hidden', { concurrency: 1 });
    open.database.queues.refresh([], '');
    await fixture.admin.query('ALTER TABLE durable.workflow_queues RENAME TO hidden');
    const answer = gates().request('hidden', step('charge'));
    await waitFor(() => failures > 0);
    await fixture.admin.query('ALTER TABLE durable.hidden RENAME TO workflow_queues');
    expect(await answer).toBe('requested');
  });

  it('gives back the place of a step that was cancelled while the answer of the database was lost', async () => {
    await declare('lost', { concurrency: 1 });
    const { database } = open;
    const query = database.query.bind(database);
    let lost: number | undefined;
    database.query = (async (statement, values) => {
      const rows = await query(statement, values);
      if (lost !== undefined) return rows;
      lost = await places();
      isWaiting = false;
      throw new Error('the answer is lost');
    }) as typeof database.query;
    const tested = gates();
    await tested.request('lost', step('charge'));
    await waitFor(async () => failures > 0 && (await places()) === 0);
    expect(lost).toBe(1);
    await waitFor(() => tested.size === 0);
    database.query = query;
  });

  it('gives a place back however often the statement fails', async () => {
    await declare('again', { concurrency: 1 });
    let permit: StepPermit | undefined;
    await gates().request(
      'again',
      step('charge', (given) => (permit = given)),
    );
    await waitFor(() => permit);
    await fixture.admin.query('ALTER TABLE durable.workflow_step_places RENAME TO hidden');
    permit!.release();
    await waitFor(() => failures > 3);
    await fixture.admin.query('ALTER TABLE durable.hidden RENAME TO workflow_step_places');
    await waitFor(async () => (await places()) === 0);
  });

  it('keeps the place of an attempt while the return of the former place is late', async () => {
    await declare('late', { concurrency: 1 });
    const { database } = open;
    const query = database.query.bind(database);
    let letGo: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (letGo = resolve));
    let isReturned = false;
    database.query = (async (statement, values) => {
      if (statement.name !== 'durable_release_step_places') return query(statement, values);
      await held;
      const rows = await query(statement, values);
      isReturned = true;
      return rows;
    }) as typeof database.query;
    const tested = gates();
    const permits: StepPermit[] = [];
    const next = (): Promise<unknown> =>
      tested.request(
        'late',
        step('charge', (given) => permits.push(given)),
      );
    await next();
    await waitFor(() => permits.length === 1);
    permits[0]!.release();
    // The next attempt asks before the former place is back.
    const asked = next();
    await Promise.race([waitFor(() => permits.length === 2), sleep(300)]);
    letGo();
    await asked;
    await waitFor(() => permits.length === 2 && isReturned);
    expect(await places()).toBe(1);
    database.query = query;
  });

  it('gives no place to a session that has ended', async () => {
    await declare('dead', { concurrency: 1 });
    const count = counting();
    let permits = 0;
    await gates(undefined, () => '999999').request(
      'dead',
      step('charge', () => permits++),
    );
    await waitFor(() => count() > 2);
    expect(permits).toBe(0);
    expect(await places()).toBe(0);
  });

  it('asks for all keys by one statement, and is forgotten once no step waits', async () => {
    await declare('keys', { concurrency: 150, key: { concurrency: 1 } });
    const tested = gates();
    const count = counting();
    const permits: StepPermit[] = [];
    const requests = Array.from({ length: 400 }, (_, n) => step(`call ${n}`, (permit) => permits.push(permit), `key ${n % 200}`));
    await Promise.all(requests.map((request) => tested.request('keys', request)));
    await waitFor(() => permits.length === 150);
    // The pauses between two requests have their full length after a few requests.
    const first = count();
    await waitFor(() => count() >= first + 10);
    const before = count();
    const at = performance.now();
    await waitFor(() => count() >= before + 5);
    // Each full pause takes at least 200 x 0.75 ms.
    expect(performance.now() - at).toBeGreaterThan(600);
    expect(permits).toHaveLength(150);

    const beforeReleases = count();
    const all = await releaseAll(permits, 400);
    // Each round of releases frees 150 places, in which steps of other keys begin.
    expect(count() - beforeReleases).toBeLessThan(100);
    expect(all).toBe(400);
    await waitFor(() => tested.size === 0);
    await waitFor(async () => (await places()) === 0);
  });

  /** Releases permits until so many were given. Returns their number. */
  async function releaseAll(permits: StepPermit[], total: number): Promise<number> {
    let released = 0;
    while (released < total) {
      await waitFor(() => permits.length > released);
      for (const permit of permits.slice(released)) {
        permit.release();
        released++;
      }
    }
    return released;
  }

  it('reserves slots of a rate limit shortly before they open, so that other processes get slots too', async () => {
    await declare('slow', { rateLimit: { limit: 1, period: '1h' } });
    let permits = 0;
    const count = counting();
    const requests = Array.from({ length: 20 }, (_, n) => step(`call ${n}`, () => permits++));
    const tested = gates();
    await Promise.all(requests.map((request) => tested.request('slow', request)));
    await waitFor(() => permits === 1);
    await waitFor(() => count() >= 4);
    const [row] = await fixture.admin.query(
      `SELECT arrival_at < now() + interval '62 minutes' AS is_near FROM durable.workflow_queues WHERE name = 'slow'`,
    );
    expect(row).toEqual({ is_near: true });
  });

  it('takes keys in turns, also when one request has no room for all of them', async () => {
    await declare('many', { key: { concurrency: 1 } });
    const holders: StepPermit[] = [];
    const first = gates();
    const stuck = Array.from({ length: 600 }, (_, n) => `key ${n}`);
    await Promise.all(
      stuck.map((key) =>
        first.request(
          'many',
          step(`hold ${key}`, (permit) => holders.push(permit), key),
        ),
      ),
    );
    await waitFor(() => holders.length === 600);
    const second = gates();
    await Promise.all(stuck.map((key) => second.request('many', step(`wait ${key}`, undefined, key))));
    let isFree = false;
    await second.request(
      'many',
      step('free', () => (isFree = true), 'another key'),
    );
    await waitFor(() => isFree);
  });
});
