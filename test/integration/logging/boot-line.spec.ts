import type { LoggerService } from '@nestjs/common';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { Workflow, WorkflowModule, type WorkflowModuleOptions } from '../../../src/index.js';
import { databaseLabel } from '../../../src/store/database-label.js';
import { bootApplication, closeApplications } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { waitFor } from '../../support/wait.js';

@Workflow({ name: 'order', queue: 'orders' })
class OrderWorkflow {
  async run(): Promise<void> {}
}

@Workflow({ name: 'invoice', version: 3 })
class InvoiceWorkflow {
  async run(): Promise<void> {}
}

describe('the line of the log at boot', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(closeApplications);
  afterAll(() => database.drop());

  /** Boots the application and returns its first line that begins with `worker:`. */
  const lineOf = async (options: Partial<WorkflowModuleOptions>): Promise<string> => {
    const lines: string[] = [];
    const take = (line: unknown): void => void lines.push(String(line));
    const logger: LoggerService = { log: take, warn: take, error: take };
    const imports = [WorkflowModule.forRoot({ connection: { url: database.url }, deploymentId: 'build-7', ...options })];
    await bootApplication({ imports, providers: [OrderWorkflow, InvoiceWorkflow] }, logger);
    return waitFor(() => lines.find((line) => line.startsWith('worker:')));
  };
  const place = (): string => {
    const { hostname, port, pathname } = new URL(database.url);
    return `database "${pathname.slice(1)}" at ${hostname}:${port}, schema "durable"`;
  };

  it('says what the process executes, from which queues, how, where, and as which deployment', async () => {
    expect(await lineOf({ worker: { concurrency: 7 } })).toBe(
      'worker: executes order v1, invoice v3 from queues "default", "orders", by polling, step bodies of up to 7 runs at a time; ' +
        `${place()}, deployment build-7; with notifications`,
    );
  });

  it('names the environment and the replica, and says when there are no notifications', async () => {
    const line = await lineOf({
      worker: { queues: ['orders'] },
      listen: false,
      environment: 'staging',
      readReplica: { url: database.url },
    });
    expect(line).toContain(`from queue "orders", by polling, `);
    expect(line).toContain(
      `${place()}, environment "staging", with a read replica, deployment build-7; without notifications (listen: false)`,
    );
  });

  it('says why a process executes nothing, and where it starts runs', async () => {
    expect(await lineOf({ worker: false, environment: 'staging' })).toBe(
      'worker: this process starts runs and executes none: its worker is off (`worker: false` or DURABLE_WORKER=off); ' +
        `${place()}, environment "staging"`,
    );
  });

  it('shows no user and no password', async () => {
    const { username, password } = new URL(database.url);
    const line = await lineOf({ worker: {} });
    expect(line).not.toContain(`${username}:`);
    if (password !== '') expect(line).not.toContain(password);
    expect(databaseLabel({ host: '/run/postgresql', port: 5432, database: 'app' })).toBe('database "app" at the socket /run/postgresql');
    expect(databaseLabel({ host: '::1', port: 5433, database: 'app' })).toBe('database "app" at [::1]:5433');
  });
});
