import { randomBytes } from 'node:crypto';

import type pg from 'pg';

import { WorkflowConfigurationError } from '../../core/errors/index.js';
import { Limiter } from '../../core/limiter.js';
import { OwnClient } from '../../store/own-client.js';
import { DATABASE_PREFIX, dropDatabase, markUsed, unmarkUsed } from './leftover-databases.js';
import { templateDatabase, useClock } from './template-database.js';
import { acquireServer, releaseServer, type TestServer } from './test-server.js';

/** Private database of one test application. */
export class TestDatabase {
  private readonly turns = new Limiter(1);
  private dropped: Promise<void> | undefined;

  private constructor(
    private readonly server: TestServer,
    readonly name: string,
    readonly url: string,
    private readonly client: pg.Client,
  ) {}

  /**
   * Creates a database with the module's tables and a clock that stands still.
   *
   * @throws WorkflowConfigurationError when the server cannot be used
   */
  static async create(): Promise<TestDatabase> {
    const server = await acquireServer();
    const { admin, lockSpace } = server;
    const name = `${DATABASE_PREFIX}${lockSpace}_${process.pid}_${randomBytes(6).toString('hex')}`;
    const url = urlOf(server, name);
    try {
      await server.turns.run(async () => {
        await markUsed(admin, name);
        const template = await templateDatabase(server, (database) => urlOf(server, database));
        await admin.query(`CREATE DATABASE ${admin.escapeIdentifier(name)} TEMPLATE ${template}`);
        await useClock(admin, name);
      });
      const client = new OwnClient({ connectionString: url, application_name: 'nestjs-durable-testing' });
      await client.connect();
      return new TestDatabase(server, name, url, client);
    } catch (cause) {
      await remove(server, name).catch(() => undefined);
      const isRefused = (cause as { code?: string }).code === '42501';
      const advice = isRefused ? '. Its role needs the right CREATEDB; without DATABASE_URL, tests use an embedded server' : '';
      throw new WorkflowConfigurationError(`WorkflowTest could not create a database: ${(cause as Error).message}${advice}`, { cause });
    }
  }

  /** Executes a statement of the kit on a connection of its own. Returns rows as arrays. */
  async query<Row extends unknown[]>(text: string, values: unknown[]): Promise<Row[]> {
    return this.turns.run(async () => (await this.client.query<Row>({ text, values, rowMode: 'array' })).rows);
  }

  /** Drops the database, with every connection to it. */
  drop(): Promise<void> {
    this.dropped ??= this.turns.run(async () => {
      await this.client.end().catch(() => undefined);
      await remove(this.server, this.name);
    });
    return this.dropped;
  }
}

async function remove({ admin, turns }: TestServer, name: string): Promise<void> {
  try {
    await turns.run(async () => {
      await dropDatabase(admin, name);
      await unmarkUsed(admin, name);
    });
  } finally {
    await releaseServer();
  }
}

function urlOf({ url }: TestServer, database: string): string {
  const parsed = new URL(url);
  parsed.pathname = `/${database}`;
  return parsed.href;
}
