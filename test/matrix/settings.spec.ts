import { randomBytes } from 'node:crypto';
import { appendFileSync } from 'node:fs';

import { TypeOrmModule } from '@nestjs/typeorm';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';

import { WorkflowModule } from '../../src/index.js';
import { bootApplication, closeApplications } from '../support/application.js';
import { Scenario, type Answers } from './scenario.js';
import { settings, type Setting } from './settings.js';
import { workflows } from './workflows.js';

const { DURABLE_TEST_SERVER_URL: server = '', DURABLE_TEST_DATABASE_PREFIX: prefix = '' } = process.env;
const isQuick = process.env['DURABLE_MATRIX'] === 'quick';
const chosen = settings.filter((setting) => !isQuick || setting.quick);

/** Records the outcome of a setting for the table that `npm run test:matrix` prints. */
function report(setting: Setting, outcome: 'held' | 'refused' | 'not there'): void {
  const file = process.env['DURABLE_MATRIX_REPORT'];
  if (file) appendFileSync(file, `${JSON.stringify([setting.name, outcome])}\n`);
}

/** Tells if the machine lacks a locale, on which the collations of the C library depend. */
const isUnknownLocale = (error: unknown): boolean => /invalid (LC_COLLATE )?locale name/.test(String(error));

async function asAdministrator<T>(database: string | undefined, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const url = new URL(server);
  if (database !== undefined) url.pathname = `/${database}`;
  const client = new pg.Client({ connectionString: url.href });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/** A separate database and role for one setting, so that settings do not affect each other. */
class Stage {
  private readonly name = `${prefix}${randomBytes(6).toString('hex')}`;

  constructor(
    private readonly setting: Partial<Setting>,
    private readonly major: number,
  ) {}

  async open(): Promise<void> {
    const { create = `ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'`, provider = 'libc', before } = this.setting;
    // Older versions have no locale provider for a database.
    const locale = this.major < 15 ? create : `LOCALE_PROVIDER ${provider} ${create}`;
    const quoted = pg.escapeIdentifier(this.name);
    await asAdministrator(undefined, async (client) => {
      await client.query(`CREATE ROLE ${quoted} LOGIN PASSWORD 'x'`);
      await client.query(`CREATE DATABASE ${quoted} OWNER ${quoted} TEMPLATE template0 ${locale}`);
    });
    await asAdministrator(this.name, async (client) => {
      for (const statement of before?.({ database: quoted, role: quoted }) ?? []) await client.query(statement);
    });
  }

  async play(): Promise<Answers> {
    const url = new URL(server);
    url.pathname = `/${this.name}`;
    url.username = this.name;
    url.password = 'x';
    const { autoMigrate = true } = this.setting;
    const module = await bootApplication({
      imports: [
        TypeOrmModule.forRoot({ type: 'postgres', url: url.href, autoLoadEntities: true, retryAttempts: 0, poolSize: 2 }),
        WorkflowModule.forRoot({ autoMigrate, worker: { suspendAfter: 0 } }),
      ],
      providers: workflows,
    });
    return new Scenario(module).play();
  }

  async ask(sql: string): Promise<unknown> {
    return asAdministrator(this.name, async (client) => (await client.query<{ answer: unknown }>(sql)).rows[0]?.answer);
  }

  async close(): Promise<void> {
    const quoted = pg.escapeIdentifier(this.name);
    await asAdministrator(undefined, async (client) => {
      // Nest leaves connections open when an application fails to boot.
      await client.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1', [this.name]);
      await client.query(`DROP DATABASE IF EXISTS ${quoted}`);
      await client.query(`DROP ROLE IF EXISTS ${quoted}`);
    });
  }
}

const LEFT = `SELECT count(*)::int AS answer FROM durable.workflow_runs WHERE status NOT IN ('completed', 'failed', 'cancelled')`;

describe('the whole API under a setting of a role or a database', () => {
  let major = 0;
  let expected: Answers = {};
  let stage: Stage | undefined;

  const play = async (setting: Partial<Setting>): Promise<Answers> => {
    stage = new Stage(setting, major);
    await stage.open();
    return stage.play();
  };

  beforeAll(async () => {
    major = await asAdministrator(undefined, async (client) => {
      const { rows } = await client.query<{ major: number }>(`SELECT current_setting('server_version_num')::int / 10000 AS major`);
      return rows[0]!.major;
    });
    // An older server is refused at boot, which another test checks.
    if (major < 13) return;
    expected = await play({});
    await closeApplications();
    expect([expected, await stage!.ask(LEFT)]).toEqual([expected, 0]);
    await stage!.close();
  });
  afterEach(async () => {
    await closeApplications();
    await stage?.close();
  });
  afterAll(closeApplications);

  it('answers without errors under no setting', () => {
    const wrong = Object.entries(expected).filter(([, answer]) => typeof answer === 'string' && answer.includes('Error'));
    expect(wrong).toEqual([]);
  });

  it.each(chosen.map((setting) => [setting.name, setting] as const))('answers as usual, or refuses to boot: %s', async (_, setting) => {
    if (major < 13) return;
    if (setting.from !== undefined && major < setting.from) return report(setting, 'not there');
    if (setting.refused) {
      await expect(play(setting)).rejects.toThrow(setting.refused);
      return report(setting, 'refused');
    }
    const answers = await play(setting).catch((error: unknown) => {
      if (!isUnknownLocale(error)) throw error;
    });
    if (answers === undefined) return report(setting, 'not there');
    expect(answers).toEqual(expected);
    await closeApplications();
    expect(await stage!.ask(LEFT)).toBe(0);
    if (setting.question) expect(await stage!.ask(setting.question[0])).toEqual(setting.question[1]);
    report(setting, 'held');
  });

  it('is refused at boot by a server older than PostgreSQL 13', async () => {
    if (major >= 13) return;
    await expect(play({})).rejects.toThrow(/needs PostgreSQL 13 or later; this server is 12/);
  });
});
