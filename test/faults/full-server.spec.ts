import { randomBytes } from 'node:crypto';

import type { TestingModule } from '@nestjs/testing';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';

import { DatabaseUnavailableError, WorkflowClient } from '../../src/index.js';
import { closeApplications } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { bootAt, GreetWorkflow } from '../support/faults/booting.js';
import { seconds, waitFor } from '../support/wait.js';

const LIMIT = 7;

describe('a server that grants no more connections', () => {
  const role = `limited_${randomBytes(6).toString('hex')}`;
  let database: TestDatabase;
  let url: string;
  const taken: pg.Client[] = [];
  beforeAll(async () => {
    database = await createTestDatabase();
    const name = new URL(database.url).pathname.slice(1);
    await database.query(
      `CREATE ROLE ${role} LOGIN PASSWORD 'limited' CONNECTION LIMIT ${LIMIT}; GRANT CREATE ON DATABASE "${name}" TO ${role}`,
    );
    url = Object.assign(new URL(database.url), { username: role, password: 'limited' }).href;
  });
  afterEach(async () => {
    await giveBack();
    await closeApplications();
  });
  afterAll(async () => {
    await database.query(`DROP OWNED BY ${role} CASCADE; DROP ROLE ${role}`);
    await database.drop();
  });

  /** Takes every connection that the server still grants. */
  async function takeAll(): Promise<void> {
    for (;;) {
      const client = new pg.Client({ connectionString: url });
      client.on('error', () => undefined);
      try {
        await client.connect();
        taken.push(client);
      } catch (error) {
        expect((error as { code?: string }).code).toBe('53300');
        return;
      }
    }
  }
  const giveBack = (): Promise<unknown> => Promise.all(taken.splice(0).map((client) => client.end()));

  it('delays a boot until it grants connections', async () => {
    await takeAll();
    const { outcome, warned } = bootAt(url, 60_000);
    await warned(/^database: unreachable: too many connections/);
    await giveBack();
    const module = (await outcome) as TestingModule;
    expect(await module.get(WorkflowClient).execute(GreetWorkflow, 'you')).toBe('hello you');
  });

  it('lets a booted module work with its open connections, and makes calls that need another fail', async () => {
    const module = (await bootAt(url, 60_000).outcome) as TestingModule;
    const client = module.get(WorkflowClient);
    await waitFor(async () => (await client.health()).directConnection?.isConnected);
    await takeAll();
    const names = Array.from({ length: 100 }, (_, index) => `name-${index}`);
    const [results, listing] = await Promise.all([
      Promise.allSettled(names.map((name) => client.execute(GreetWorkflow, name, { resultTimeout: seconds(40) }))),
      client.list({}).catch((error: unknown) => error),
    ]);
    for (const result of results) if (result.status === 'rejected') expect(result.reason).toBeInstanceOf(DatabaseUnavailableError);
    if (listing instanceof Error) expect(listing).toBeInstanceOf(DatabaseUnavailableError);
    await giveBack();
    await waitFor(async () => (await client.list({})).runs.length > 0, { timeoutMs: 20_000 });
    expect(await client.execute(GreetWorkflow, 'you')).toBe('hello you');
    await waitFor(async () => (await client.count({ status: 'completed' })) === (await client.count()));
  });
});
