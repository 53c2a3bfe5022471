import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';

import type { ClockAlarm } from '../../src/core/clock.js';
import { Workflow } from '../../src/index.js';
import { Admissions } from '../../src/store/admissions.js';
import { QStashEmulator } from '../../src/testing/index.js';
import { closeApplications } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { freePort } from '../support/free-port.js';
import { startPushed, type PushedApplication } from '../support/pushed-application.js';
import { seconds, waitFor } from '../support/wait.js';

@Workflow({ name: 'rated' })
class Rated {
  async run(n: number): Promise<number> {
    return n;
  }
}

describe('rate limits of an application that QStash drives', () => {
  let database: TestDatabase;
  let qstash: QStashEmulator;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  beforeEach(async () => {
    qstash = await QStashEmulator.start();
  });
  afterEach(async () => {
    jest.restoreAllMocks();
    await closeApplications();
    await qstash.close();
  });
  afterAll(() => database.drop());

  const boot = (port: number, given?: Record<string, never>): Promise<PushedApplication> => {
    const queues =
      given ?? ({ all: { rateLimit: { limit: 1, period: '2s' } }, keys: { key: { rateLimit: { limit: 1, period: '2s' } } } } as const);
    return startPushed(database.url, [Rated], { qstash, port, options: { queues, worker: { queues: ['all', 'keys', 'late'] } } });
  };
  const callsForQueues = () => qstash.messages.filter(({ body }) => body.includes('queues'));

  it.each(['all', 'keys'])('admit the next run of the queue "%s" by a delayed message, while the process is frozen', async (queue) => {
    const app = await boot(await freePort());
    const request = jest.spyOn(Admissions.prototype, 'request');
    const handles = await app.client.startMany(Rated, [1, 2], { queue, queueKey: 'k' });
    await waitFor(() => callsForQueues().length > 0);
    // The alarm of the process never fires, as if the process was frozen after the request.
    const alarms = Reflect.get(request.mock.contexts[0]!, 'alarms') as Map<string, ClockAlarm>;
    for (const alarm of alarms.values()) alarm.cancel();
    alarms.clear();
    const results = await Promise.all(handles.map((handle) => handle.result()));
    expect(results).toEqual([1, 2]);
  });

  it('send at most one message a second, and none once no run waits', async () => {
    const app = await boot(await freePort());
    const before = callsForQueues().length;
    const began = performance.now();
    const handles = await app.client.startMany(Rated, [1, 2, 3], { queue: 'all' });
    await Promise.all(handles.map((handle) => handle.result()));
    await waitFor(() => callsForQueues().every(({ state }) => state === 'delivered'));
    const sent = callsForQueues().length;
    expect(sent - before).toBeGreaterThan(0);
    expect(sent - before).toBeLessThanOrEqual(Math.ceil((performance.now() - began) / 1_000) + 1);
    await app.qstash.settled();
    expect(callsForQueues()).toHaveLength(sent);
  });

  it('announce an admitted run before its start resolves, because the process may be frozen then', async () => {
    const app = await boot(await freePort());
    const { runId } = await app.client.start(Rated, 1, { queue: 'keys', queueKey: 'other' });
    expect(qstash.messages.filter(({ body }) => body.includes(runId))).toHaveLength(1);
  });

  it('admit runs of a queue that got its first limits from another process', async () => {
    const app = await boot(await freePort(), {});
    await database.query(
      `INSERT INTO durable.workflow_queues (kind, name, is_limited, concurrency, adopting_after) VALUES ('queue', 'late', true, 1, '')`,
    );
    const handle = await app.client.start(Rated, 1, { queue: 'late' });
    await app.sweep();
    expect(await handle.result({ timeout: seconds(30) })).toBe(1);
  });
});
