import { Agent, request } from 'node:http';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { Workflow } from '../../src/index.js';
import { closeApplications } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { FaultProxy } from '../support/faults/proxy.js';
import { startPushed, type PushedApplication } from '../support/pushed-application.js';
import { waitFor } from '../support/wait.js';

/** Number of callers: enough that some are being answered at any moment. */
const CALLERS = 8;

@Workflow({ name: 'nothing much' })
class NothingMuch {
  async run(): Promise<void> {}
}

/** Sends a signed message over a kept connection and returns the answer. */
function post(agent: Agent, { qstash, targetUrl }: PushedApplication, path: string, body: string): Promise<number> {
  const url = `${targetUrl}${path}`;
  const headers = { 'content-type': 'application/json', 'upstash-signature': qstash.sign({ url, body }) };
  return new Promise((resolve, reject) => {
    const sent = request(url, { method: 'POST', agent, headers }, (response) => {
      response.resume();
      response.on('end', () => resolve(response.statusCode!));
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

describe('an application that QStash drives', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(async () => {
    await closeApplications();
    await database.drop();
  });
  const message = JSON.stringify({ v: 1, run: 'nobody', queue: 'default', seq: '0.0' });

  it.each(['qstash', 'both'] as const)(
    'closes while callers send requests on kept connections without end, with transport %s',
    async (transport) => {
      const pushed = await startPushed(database.url, [NothingMuch], { options: { transport, worker: {} } });
      const agent = new Agent({ keepAlive: true, maxSockets: CALLERS });
      const statuses: number[] = [];
      // Calls until the application accepts no connection.
      const callOn = async (): Promise<void> => {
        statuses.push(await post(agent, pushed, '/workflow/qstash', message));
        await callOn();
      };
      const calling = Promise.all(Array.from({ length: CALLERS }, () => callOn().catch((error: Error) => error)));
      await waitFor(() => statuses.length > 3 * CALLERS);
      await pushed.close();
      for (const end of await calling) expect(end).toHaveProperty('code');
      agent.destroy();
      expect(new Set(statuses)).toEqual(new Set(statuses.includes(503) ? [200, 503] : [200]));
    },
  );

  it('closes, and answers 503, while a sweep and a delivery wait for a silent database', async () => {
    const proxy = await FaultProxy.start(database.url);
    const pushed = await startPushed(proxy.url, [NothingMuch], { options: { worker: { shutdownTimeout: 100 } } });
    const agent = new Agent({ keepAlive: true });
    try {
      await pushed.client.execute(NothingMuch);
      proxy.silence();
      const answers = [post(agent, pushed, '/workflow/qstash', message), post(agent, pushed, '/workflow/qstash/sweep', '')];
      await waitFor(() => Object.values(agent.sockets).flat().length === 2);
      await Promise.all([expect(Promise.all(answers)).resolves.toEqual([503, 503]), pushed.close()]);
    } finally {
      agent.destroy();
      proxy.restore();
      await proxy.stop();
    }
  });
});
