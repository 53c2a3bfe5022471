import { Logger } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';

import { Workflow, WorkflowClient, WorkflowModule, type WorkflowModuleOptions } from '../../../src/index.js';
import { bootApplication, closeApplications } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { FaultProxy } from '../../support/faults/proxy.js';
import { waitFor } from '../../support/wait.js';

@Workflow({ name: 'greet' })
class GreetWorkflow {
  async run(name: string): Promise<string> {
    return `hello ${name}`;
  }
}

describe('a module whose connections are refused', () => {
  let database: TestDatabase;
  let proxy: FaultProxy;
  let asked: number;
  let tokenService: 'up' | 'down';
  beforeAll(async () => {
    database = await createTestDatabase();
    proxy = await FaultProxy.start(database.url);
  });
  afterEach(async () => {
    jest.restoreAllMocks();
    await closeApplications();
  });
  afterAll(async () => {
    await proxy.stop();
    await database.drop();
  });

  /** Settings of a DataSource whose password comes from a service. */
  const withToken = () => {
    asked = 0;
    tokenService = 'up';
    const { hostname: host, port, username, pathname, password } = new URL(proxy.url);
    return {
      host,
      port: Number(port),
      username,
      database: pathname.slice(1),
      password: async (): Promise<string> => {
        asked++;
        if (tokenService === 'down') throw new Error('the token service is down');
        return decodeURIComponent(password);
      },
    };
  };
  const told = (): string[] => {
    const lines: string[] = [];
    for (const level of ['warn', 'log'] as const) {
      jest.spyOn(Logger.prototype, level).mockImplementation((message: unknown) => void lines.push(String(message)));
    }
    return lines;
  };
  const boot = (dataSource: object, options: WorkflowModuleOptions = {}) =>
    bootApplication({
      imports: [TypeOrmModule.forRoot({ type: 'postgres', ...dataSource }), WorkflowModule.forRoot({ worker: {}, ...options })],
      providers: [GreetWorkflow],
    });

  it('asks the password function for each of its connections', async () => {
    const module = await boot(withToken());
    const before = asked;
    proxy.cutAll();
    const client = module.get(WorkflowClient);
    await client.execute(GreetWorkflow, 'you');
    await waitFor(async () => (await client.health()).directConnection?.isConnected);
    expect(asked).toBeGreaterThanOrEqual(before + 2);
  });

  it('leaves no connection open while the password function fails, and executes runs afterwards', async () => {
    const lines = told();
    const module = await boot(withToken());
    tokenService = 'down';
    proxy.cutAll();
    const before = asked;
    const starting = module.get(WorkflowClient).execute(GreetWorkflow, 'you');
    await waitFor(() => asked >= before + 8, { timeoutMs: 20_000 });
    // Each pool and the direct connection may have one attempt in progress.
    expect(proxy.connections).toBeLessThanOrEqual(4);
    await waitFor(() => lines.some((line) => line.includes('the password function of the connection failed')));
    tokenService = 'up';
    expect(await starting).toBe('hello you');
  });

  it('tries to connect less and less often', async () => {
    const module = await boot(withToken());
    tokenService = 'down';
    proxy.cutAll();
    const before = asked;
    const client = module.get(WorkflowClient);
    for (let question = 0; question < 200; question++) await expect(client.count()).rejects.toBeDefined();
    expect(asked - before).toBeLessThan(40);
  });

  it.each<[string, (url: URL) => void, RegExp]>([
    ['a wrong password', (url) => (url.password = 'wrong'), /password authentication failed/],
    ['a database that does not exist', (url) => (url.pathname = '/nothing-here'), /does not exist/],
    ['a port where nobody listens', (url) => (url.port = '1'), /ECONNREFUSED/],
    ['a host that does not exist', (url) => (url.hostname = 'nowhere.invalid'), /ENOTFOUND|EAI_AGAIN/],
  ])('logs once why its direct connection fails: %s', async (_, change, reason) => {
    const lines = told();
    const url = new URL(database.url);
    change(url);
    const module = await boot({ url: database.url }, { listen: { url: url.href } });
    const client = module.get(WorkflowClient);
    expect(await client.execute(GreetWorkflow, 'you')).toBe('hello you');
    const line = await waitFor(() =>
      lines.find((each) => each.startsWith('listen: could not open the direct connection to the url of "listen"')),
    );
    expect(line).toMatch(reason);
    const { directConnection, database: main } = await client.health();
    expect(directConnection).toMatchObject({ isConnected: false, error: { message: expect.stringMatching(reason) } });
    expect(main.isReachable).toBe(true);
    expect(lines.filter((each) => each.startsWith('listen: could not open')).length).toBe(1);
  });

  it('logs that its direct connection is open after it failed', async () => {
    const lines = told();
    const direct = await FaultProxy.start(database.url);
    direct.refuse();
    const module = await boot({ url: database.url }, { listen: { url: direct.url } });
    await waitFor(() => lines.some((each) => each.startsWith('listen: could not open the direct connection to the url of "listen"')));
    direct.restore();
    await waitFor(() => lines.includes('listen: the direct connection is open'));
    expect((await module.get(WorkflowClient).health()).directConnection).toEqual({ isConnected: true });
    await closeApplications();
    await direct.stop();
  });

  it('uses the password function for a direct connection whose URL has no password', async () => {
    const url = new URL(database.url);
    url.password = '';
    const module = await boot(withToken(), { listen: { url: url.href } });
    await waitFor(async () => (await module.get(WorkflowClient).health()).directConnection?.isConnected);
  });

  it('shows no direct connection in health with listen: false', async () => {
    const module = await boot({ url: database.url }, { listen: false });
    expect((await module.get(WorkflowClient).health()).directConnection).toBeUndefined();
  });
});
