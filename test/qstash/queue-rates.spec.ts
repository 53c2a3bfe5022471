import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';

import { Workflow } from '../../src/index.js';
import { QStashEmulator } from '../../src/testing/index.js';
import { closeApplications } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { freePort } from '../support/free-port.js';
import { startPushed, type PushedApplication } from '../support/pushed-application.js';
import { waitFor } from '../support/wait.js';

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
    await closeApplications();
    await qstash.close();
  });
  afterAll(() => database.drop());

  const boot = (port: number): Promise<PushedApplication> => {
    const queues = { all: { rateLimit: { limit: 1, period: '2s' } }, keys: { key: { rateLimit: { limit: 1, period: '2s' } } } } as const;
    return startPushed(database.url, [Rated], { qstash, port, options: { queues, worker: { queues: ['all', 'keys'] } } });
  };
  const callsForQueues = () => qstash.messages.filter(({ body }) => body.includes('queues'));

  it.each(['all', 'keys'])('admit the next run of the queue "%s" by a delayed message, when the process has ended', async (queue) => {
    const port = await freePort();
    const first = await boot(port);
    const handles = await first.client.startMany(Rated, [1, 2], { queue, queueKey: 'k' });
    expect(await Promise.race(handles.map((handle) => handle.result()))).toBe(1);
    // The alarm for the second run ends with the process.
    await waitFor(() => callsForQueues().some(({ state }) => state !== 'delivered'));
    await first.close();
    const second = await boot(port);
    expect(await second.client.getHandle(Rated, handles[1]!.runId).result()).toBe(2);
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
});
