import { afterAll, beforeAll, expect, it } from '@jest/globals';
import pg from 'pg';

import { Workflow } from '../../../src/index.js';
import { channelOf } from '../../../src/store/notifications.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { seconds } from '../../support/wait.js';

@Workflow({ name: 'plain' })
class Plain {
  async run(): Promise<string> {
    return 'done';
  }
}

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(async () => {
  await closeApplications();
  await database.drop();
});

it('a worker survives malformed notices from a role without rights, and executes new runs', async () => {
  const { client } = await startApplication(database.url, [Plain]);
  const role = `stranger_${Date.now()}`;
  await database.query(`CREATE ROLE ${role} LOGIN PASSWORD 'x'`);
  const url = new URL(database.url);
  url.username = role;
  url.password = 'x';
  const stranger = new pg.Client({ connectionString: url.href });
  await stranger.connect();
  const thrown: unknown[] = [];
  const note = (error: unknown): void => void thrown.push(error);
  process.on('uncaughtExceptionMonitor', note);
  try {
    for (const payload of [
      '{"s":"x","e":5}',
      '{"s":"x","e":{"length":2}}',
      '{"s":"x","m":{"length":3}}',
      '{"s":"x","d":[null]}',
      'x',
      '',
    ]) {
      await stranger.query('SELECT pg_notify($1, $2)', [channelOf('durable'), payload]);
    }
    const handles = await Promise.all(Array.from({ length: 5 }, () => client.start(Plain)));
    expect(await Promise.all(handles.map((handle) => handle.result({ timeout: seconds(30) })))).toEqual(Array(5).fill('done'));
    expect(thrown).toEqual([]);
  } finally {
    process.off('uncaughtExceptionMonitor', note);
    await stranger.end();
    await database.query(`DROP ROLE ${role}`);
  }
});
