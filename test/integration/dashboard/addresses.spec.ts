import { randomBytes } from 'node:crypto';

import { RequestMethod, VersioningType, type INestApplication, type LoggerService } from '@nestjs/common';
import { afterEach, beforeEach, expect, it } from '@jest/globals';

import { closeApplications } from '../../support/application.js';
import { postJson, serveDashboard } from '../../support/dashboard-application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { httpPlatforms } from '../../support/http-platforms.js';

let database: TestDatabase;
beforeEach(async () => {
  database = await createTestDatabase();
});
afterEach(async () => {
  await closeApplications();
  await database.drop();
});

/** Returns the status codes of the page, its files, a read and a change. */
const statusesOf = async (address: string): Promise<number[]> => {
  const page = await fetch(address);
  const files = [...(await page.text()).matchAll(/(?:src|href)="([^"]+)"/g)].map(([, file]) => new URL(file!, address).href);
  const read = await fetch(new URL('dashboard/api/overview', address));
  const change = await postJson(new URL('dashboard/api/runs/none/cancel', address).href, {});
  const statuses = await Promise.all(files.map(async (file) => (await fetch(file)).status));
  return [page.status, ...new Set(statuses), read.status, change.status];
};

/** A run that does not exist cannot be cancelled: its route answers. */
const SERVED = [200, 200, 200, 404];

const VERSIONED = { type: VersioningType.URI, defaultVersion: '1' } as const;

const all = { method: RequestMethod.ALL };

const SETTINGS: readonly (readonly [title: string, prepare: (app: INestApplication) => void, path: string])[] = [
  ['under a global prefix', (app) => app.setGlobalPrefix('api/v2'), 'api/v2/workflow/dashboard'],
  ['with versions in addresses', (app) => app.enableVersioning(VERSIONED), 'workflow/dashboard'],
  ['with versions and a prefix', (app) => app.setGlobalPrefix('api').enableVersioning(VERSIONED), 'api/workflow/dashboard'],
  [
    'outside of a global prefix that excludes all of it',
    (app) =>
      app.setGlobalPrefix('api', {
        exclude: [
          { path: 'workflow/dashboard', ...all },
          { path: 'workflow/dashboard/{*path}', ...all },
        ],
      }),
    'workflow/dashboard',
  ],
];

for (const [platform, describePlatform] of httpPlatforms) {
  describePlatform(`the dashboard on ${platform}`, () => {
    for (const [title, prepare, path] of SETTINGS) {
      it(`is served ${title}`, async () => {
        const { url } = await serveDashboard(database.url, { guards: [] }, [], { platform, options: { worker: false }, prepare });
        expect(await statusesOf(`${url}/${path}`)).toEqual(SERVED);
      });
    }
  });
}

it('warns when a global prefix excludes only a part of the dashboard', async () => {
  const lines: string[] = [];
  const take = (line: unknown): void => void lines.push(String(line));
  const logger: LoggerService = { log: take, warn: take, error: take };
  const serve = async (exclude: string[]): Promise<string[]> => {
    lines.length = 0;
    const prepare = (each: INestApplication): void => void each.setGlobalPrefix('api', { exclude });
    const options = { worker: false } as const;
    const { app } = await serveDashboard(database.url, { guards: [] }, [], { options, logger, prepare });
    await app.close();
    return lines.filter((line) => line.includes('[dashboard-split]'));
  };
  expect(await serve(['workflow/dashboard'])).toHaveLength(1);
  expect(await serve(['workflow/dashboard/{*path}'])).toHaveLength(1);
  expect(await serve(['workflow/dashboard', 'workflow/dashboard/{*path}'])).toEqual([]);
  expect(await serve(['health'])).toEqual([]);
});

it('shows runs of the Workflow DevKit only to a role that may read them', async () => {
  const role = `durable_test_${randomBytes(6).toString('hex')}`;
  const [{ name }] = (await database.query('SELECT current_database() AS name')) as [{ name: string }];
  await database.query(`CREATE ROLE ${role} LOGIN PASSWORD 'x'; GRANT CREATE ON DATABASE "${name}" TO ${role}`);
  try {
    await database.query(`CREATE SCHEMA durable_world; CREATE TABLE durable_world.world_runs (run_id text, workflow_name text, deployment_id text,
      status text, created_at timestamptz, started_at timestamptz, completed_at timestamptz, error_code text);
      INSERT INTO durable_world.world_runs VALUES ('wrun_1', 'order', 'dpl', 'completed', now(), now(), now(), null)`);
    const own = Object.assign(new URL(database.url), { username: role, password: 'x' });
    const { url } = await serveDashboard(own.href, { guards: [] }, [], { options: { worker: false } });
    const read = async (path: string): Promise<unknown> => {
      const response = await fetch(`${url}/workflow/dashboard/api/${path}`);
      expect([path, response.status]).toEqual([path, 200]);
      return response.json();
    };
    expect(await read('overview')).toMatchObject({ hasWorld: false });
    expect(await read('world')).toMatchObject({ runs: [] });
    await database.query(`GRANT USAGE ON SCHEMA durable_world TO ${role}`);
    expect(await read('overview')).toMatchObject({ hasWorld: false });
    expect(await read('world')).toMatchObject({ runs: [] });
    await database.query(`GRANT SELECT ON durable_world.world_runs TO ${role}`);
    expect(await read('overview')).toMatchObject({ hasWorld: true });
    expect(await read('world?status=completed')).toMatchObject({ runs: [{ runId: 'wrun_1', workflowName: 'order', status: 'completed' }] });
    await database.query('ALTER SCHEMA durable_world RENAME TO other_world');
    expect(await read('overview')).toMatchObject({ hasWorld: false });
    process.env.DURABLE_WORLD_SCHEMA = 'other_world';
    expect(await read('overview')).toMatchObject({ hasWorld: true });
    expect(await read('world')).toMatchObject({ runs: [{ runId: 'wrun_1' }] });
  } finally {
    delete process.env.DURABLE_WORLD_SCHEMA;
    await closeApplications();
    await database.query(`DROP OWNED BY ${role} CASCADE; DROP ROLE ${role}`);
  }
});
