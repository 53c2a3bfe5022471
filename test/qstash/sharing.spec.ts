import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Client } from '@upstash/qstash';

import { Workflow } from '../../src/index.js';
import { QStashEmulator } from '../../src/testing/index.js';
import { closeApplications } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { startPushed } from '../support/pushed-application.js';
import { seconds, waitFor } from '../support/wait.js';

@Workflow({ name: 'brief' })
class Brief {
  async run(n: number): Promise<number> {
    return n * 2;
  }
}

describe('applications that share a QStash', () => {
  let qstash: QStashEmulator;
  let databases: TestDatabase[];
  beforeAll(async () => {
    qstash = await QStashEmulator.start();
    databases = [await createTestDatabase(), await createTestDatabase()];
  });
  afterAll(async () => {
    await closeApplications();
    await qstash.close();
    await Promise.all(databases.map((database) => database.drop()));
  });
  const schedules = () => new Client({ baseUrl: qstash.url, token: qstash.token, devMode: false }).schedules.list();

  it('do not deduplicate messages of each other’s runs with the same id', async () => {
    const [one, other] = await Promise.all(databases.map((database) => startPushed(database.url, [Brief], { qstash })));
    const handles = [await one!.client.start(Brief, 1, { id: 'same' }), await other!.client.start(Brief, 2, { id: 'same' })];
    expect(await Promise.all(handles.map((handle) => handle.result({ timeout: seconds(10) })))).toEqual([2, 4]);
    await one!.close();
    await other!.close();
  });

  it('have one schedule per namespace, which the last booted application replaces with a log line', async () => {
    const lines: string[] = [];
    const note = (line: string): void => void lines.push(line);
    const logger = { log: () => undefined, warn: note, error: note };
    const ours = { namespace: 'ours', sweep: { cron: '0 5 * * *' } };
    const first = await startPushed(databases[0]!.url, [Brief], { qstash, logger, options: { qstash: ours } });
    const ourSchedule = async () => (await schedules()).find(({ scheduleId }) => scheduleId === 'ours-sweep');
    const sweepOf = ({ targetUrl }: { targetUrl: string }): string => `${targetUrl}/workflow/qstash/sweep`;
    await waitFor(async () => (await ourSchedule())?.destination === sweepOf(first));
    expect(lines.join()).not.toContain('ours-sweep');
    const second = await startPushed(databases[1]!.url, [Brief], {
      qstash,
      logger,
      options: { qstash: { ...ours, sweep: { cron: '0 6 * * *' } } },
    });
    await waitFor(async () => (await ourSchedule())?.destination === sweepOf(second));
    expect(await ourSchedule()).toMatchObject({ cron: '0 6 * * *' });
    await waitFor(() => lines.some((line) => line.includes('ours-sweep') && line.includes(sweepOf(first)) && line.includes('namespace')));
    const third = await startPushed(databases[1]!.url, [Brief], { qstash, options: { qstash: { namespace: 'theirs' } } });
    await waitFor(async () => (await schedules()).some(({ scheduleId }) => scheduleId === 'theirs-sweep'));
    expect((await ourSchedule())?.destination).toBe(sweepOf(second));
    for (const pushed of [first, second, third]) await pushed.close();
  });
});
