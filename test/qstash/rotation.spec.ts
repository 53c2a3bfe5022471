import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { Workflow, type WorkflowContext } from '../../src/index.js';
import { QStashEmulator } from '../../src/testing/index.js';
import { closeApplications } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { startPushed, type PushedApplication } from '../support/pushed-application.js';
import { seconds, waitFor } from '../support/wait.js';
import { send, wakeUp } from './requests.js';

let bodies = 0;

@Workflow({ name: 'sleeper' })
class Sleeper {
  async run(ms: number, ctx: WorkflowContext): Promise<string> {
    await ctx.step('count', () => ++bodies);
    if (ms > 0) await ctx.sleep(ms);
    await ctx.step('count', () => ++bodies);
    return 'done';
  }
}

describe('a rotation of the signing keys', () => {
  let database: TestDatabase;
  let qstash: QStashEmulator;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(async () => {
    await closeApplications();
    await qstash.close();
  });
  afterAll(() => database.drop());

  const start = (settings: Partial<Parameters<typeof startPushed>[2]> = {}): Promise<PushedApplication> =>
    startPushed(database.url, [Sleeper], { qstash, ...settings });
  const signedWith = (to: PushedApplication, signingKey: string) => {
    const body = wakeUp('nobody');
    return send(to, { body, signature: qstash.sign({ url: `${to.targetUrl}/workflow/qstash`, body, signingKey }) });
  };

  it('lets applications with the old or the new pair accept deliveries that are signed with a key of their pair', async () => {
    qstash = await QStashEmulator.start();
    const first = qstash.currentSigningKey;
    const old = await start();
    qstash.rotateSigningKeys();
    const second = qstash.currentSigningKey;
    const renewed = await start();
    const answers = async (key: string): Promise<number[]> => [
      (await signedWith(old, key)).status,
      (await signedWith(renewed, key)).status,
    ];
    // Only an application that knows the old key accepts messages signed before. QStash signs each
    // attempt again.
    expect(await answers(first)).toEqual([200, 401]);
    expect(await answers(second)).toEqual([200, 200]);
    expect(await answers(qstash.nextSigningKey)).toEqual([401, 200]);
  });

  it('interrupts no run, because QStash signs a waiting message when it delivers it', async () => {
    qstash = await QStashEmulator.start();
    bodies = 0;
    const old = await start();
    const handles = await old.client.startMany(
      Sleeper,
      Array.from({ length: 10 }, () => 2_500),
    );
    // Each run has begun, so the messages that wake the runs wait while the keys rotate.
    await waitFor(() => bodies === 10);
    qstash.rotateSigningKeys();
    const renewed = await start();
    const more = await renewed.client.startMany(
      Sleeper,
      Array.from({ length: 10 }, () => 100),
    );
    const results = await Promise.all([...handles, ...more].map((handle) => handle.result({ timeout: seconds(20) })));
    expect(results).toEqual(results.map(() => 'done'));
    expect(bodies).toBe(40);
    await waitFor(() => qstash.deliveries.every(({ status }) => status !== undefined));
    expect(qstash.deliveries.map(({ status }) => status)).toEqual(qstash.deliveries.map(() => 200));
  });

  it('lets an application with new keys execute a message that one with outdated keys has refused', async () => {
    qstash = await QStashEmulator.start({ clock: 'manual' });
    bodies = 0;
    const outdated = await start();
    qstash.rotateSigningKeys();
    qstash.rotateSigningKeys();
    const { runId } = await outdated.client.start(Sleeper, 0);
    await qstash.settled();
    expect(qstash.deliveries.at(-1)).toMatchObject({ status: 401 });
    expect(bodies).toBe(0);
    await outdated.close();
    const renewed = await start({ port: Number(new URL(outdated.targetUrl).port) });
    await qstash.advance('13s');
    expect(await renewed.client.getHandle(Sleeper, runId).result({ timeout: seconds(10) })).toBe('done');
    expect(bodies).toBe(2);
  });
});
