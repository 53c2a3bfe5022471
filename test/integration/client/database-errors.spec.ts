import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { DatabaseUnavailableError, Workflow, WorkflowConfigurationError, defineSignal, type WorkflowClient } from '../../../src/index.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { FaultProxy } from '../../support/faults/proxy.js';

const ping = defineSignal<string>('ping');

@Workflow({ name: 'quiet' })
class QuietWorkflow {
  async run(): Promise<void> {}
}

/** Calls that query the database immediately. */
const CALLS: [string, (client: WorkflowClient) => Promise<unknown>][] = [
  ['status', (client) => client.status('some')],
  ['describe', (client) => client.describe('some')],
  ['steps', (client) => client.steps('some')],
  ['history', (client) => client.history('some')],
  ['list', (client) => client.list()],
  ['count', (client) => client.count()],
  ['failures', (client) => client.failures({ since: '1h', groupBy: 'errorCode' })],
  ['cancel', (client) => client.cancel('some')],
  ['pause', (client) => client.pause('some')],
  ['resume', (client) => client.resume('some')],
  ['retry', (client) => client.retry('some')],
  ['fork', (client) => client.fork('some')],
  ['resolveStep', (client) => client.resolveStep('some', 'step', { output: 1 })],
  ['signal', (client) => client.signal('some', ping, 'pong')],
  ['resumeHook', (client) => client.resumeHook('token-of-nobody', 1)],
  ['bulk.cancel', (client) => client.bulk.cancel({ filter: { status: 'pending' }, dryRun: true })],
];

describe('a call of the client', () => {
  let database: TestDatabase;
  let proxy: FaultProxy;
  beforeAll(async () => {
    database = await createTestDatabase();
    proxy = await FaultProxy.start(database.url);
  });
  afterEach(async () => {
    proxy.restore();
    await closeApplications();
  });
  afterAll(async () => {
    await proxy.stop();
    await database.drop();
  });

  const boot = async (url = database.url): Promise<WorkflowClient> =>
    (await startApplication(url, [QuietWorkflow], { worker: false, listen: false })).client;

  it('rejects with DatabaseUnavailableError while no server answers at the address', async () => {
    const client = await boot(proxy.url);
    proxy.refuse();
    for (const [name, call] of CALLS) {
      const error: unknown = await call(client).catch((reason: unknown) => reason);
      expect({ name, error }).toEqual({ name, error: expect.any(DatabaseUnavailableError) });
      expect((error as Error).cause).toBeInstanceOf(Error);
    }
  });

  it('rejects with WorkflowConfigurationError when the role lacks rights on the tables', async () => {
    const [{ name }] = await database.query('SELECT current_database() AS name');
    const role = `${name}_reader`;
    await boot();
    await database.query(`CREATE ROLE "${role}" LOGIN PASSWORD 'pw'; GRANT USAGE ON SCHEMA durable TO "${role}";
      GRANT SELECT ON durable.workflow_migrations, durable.workflow_queues TO "${role}"`);
    try {
      const url = new URL(database.url);
      url.username = role;
      url.password = 'pw';
      const { client } = await startApplication(url.href, [QuietWorkflow], { worker: false, listen: false, autoMigrate: false });
      for (const [call, ask] of CALLS) {
        const error: unknown = await ask(client).catch((reason: unknown) => reason);
        expect({ call, error }).toEqual({ call, error: expect.any(WorkflowConfigurationError) });
        expect(error).toMatchObject({ cause: { code: '42501' } });
      }
    } finally {
      await closeApplications();
      await database.query(`DROP OWNED BY "${role}"; DROP ROLE "${role}"`);
    }
  });
});
