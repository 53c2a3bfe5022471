import { Global, Logger, Module } from '@nestjs/common';
import { getDataSourceToken } from '@nestjs/typeorm';
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';

import { DatabaseUnavailableError, Workflow, WorkflowClient, WorkflowConfigurationError, WorkflowModule } from '../../../src/index.js';
import { isAway } from '../../../src/store/database-errors.js';
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

describe('an application whose database is away while it boots', () => {
  let database: TestDatabase;
  let proxy: FaultProxy;
  let warnings: string[];
  beforeAll(async () => {
    database = await createTestDatabase();
    proxy = await FaultProxy.start(database.url);
  });
  afterEach(async () => {
    jest.restoreAllMocks();
    proxy.restore();
    await closeApplications();
  });
  afterAll(async () => {
    await proxy.stop();
    await database.drop();
  });

  const listen = (): void => {
    warnings = [];
    jest.spyOn(Logger.prototype, 'warn').mockImplementation((message: unknown) => {
      if (String(message).startsWith('database:')) warnings.push(String(message));
    });
  };
  const boot = (url = proxy.url) => {
    listen();
    return bootApplication({ imports: [WorkflowModule.forRoot({ worker: {}, connection: { url } })], providers: [GreetWorkflow] });
  };
  /** Boots with the settings of a DataSource that has not connected. */
  const bootBeside = (options: object) => {
    listen();
    const provider = { provide: getDataSourceToken(), useValue: { options: { type: 'postgres', ...options } } };
    @Global()
    @Module({ providers: [provider], exports: [getDataSourceToken()] })
    class SettingsModule {}
    return bootApplication({ imports: [SettingsModule, WorkflowModule.forRoot({})] });
  };

  it('waits for the database, and logs a warning', async () => {
    proxy.refuse();
    const booting = boot();
    await waitFor(() => warnings.length >= 2);
    expect(warnings[0]).toMatch(/^database: unreachable: .*; trying again for \d+ s \[database-unreachable\]$/);
    proxy.restore();
    const module = await booting;
    expect(await module.get(WorkflowClient).execute(GreetWorkflow, 'you')).toBe('hello you');
  });

  it.each(['pg_catalog.pg_class', 'SELECT name FROM', 'durable_probe_setting'])(
    'boots although its connection is cut in the middle: %s',
    async (marker) => {
      const cut = proxy.cutAfterCommit(marker);
      const module = await boot();
      await cut;
      expect(await module.get(WorkflowClient).execute(GreetWorkflow, 'you')).toBe('hello you');
    },
  );

  it('gives up after the attempts that retryAttempts of TypeOrmModule allows', async () => {
    const url = 'postgresql://nobody:secret-word@127.0.0.1:1/nothing';
    const error = await bootBeside({ url, retryAttempts: 2, retryDelay: 200 }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(DatabaseUnavailableError);
    expect(error).toMatchObject({ code: 'DATABASE_UNAVAILABLE', cause: { code: 'ECONNREFUSED' } });
    expect(warnings.length).toBeGreaterThanOrEqual(1);
    expect(String((error as Error).stack) + warnings.join('\n')).not.toContain('secret-word');
  });

  it('tries once when retryAttempts of TypeOrmModule is 0', async () => {
    await expect(bootBeside({ url: 'postgresql://127.0.0.1:1/x', retryAttempts: 0 })).rejects.toBeInstanceOf(DatabaseUnavailableError);
    expect(warnings).toEqual([]);
  });

  it('retries a password function that rejects', async () => {
    let asked = 0;
    const { hostname: host, port, username, pathname, password } = new URL(proxy.url);
    const token = async (): Promise<string> => {
      if (++asked < 3) throw new Error('the token service is down');
      return decodeURIComponent(password);
    };
    await bootBeside({ host, port: Number(port), username, database: pathname.slice(1), password: token });
    expect(warnings).toHaveLength(2);
    expect(warnings[0]).toMatch(/the password function of the connection failed: the token service is down; trying again/);
  });

  it.each<[string, (url: URL) => void, string]>([
    ['a wrong password', (url) => (url.password = 'wrong'), '28P01'],
    ['a role that does not exist', (url) => (url.username = 'nobody-at-all'), '28P01'],
    ['a database that does not exist', (url) => (url.pathname = '/nothing-here'), '3D000'],
  ])('fails at once for %s', async (_, change, code) => {
    const url = new URL(database.url);
    change(url);
    const error = await boot(url.href).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(WorkflowConfigurationError);
    expect(error).toMatchObject({ cause: { code } });
    expect(warnings).toEqual([]);
  });
});

describe('an error at boot', () => {
  const withCode = (code: string, message = 'x'): Error => Object.assign(new Error(message), { code });

  it.each<[unknown]>([
    [withCode('57P03', 'the database system is starting up')],
    [withCode('57P01')],
    [withCode('53300', 'sorry, too many clients already')],
    [withCode('08006')],
    [withCode('08P01', 'server login has been failing, try again later (server_login_retry)')],
    [withCode('ECONNREFUSED')],
    [withCode('ENOTFOUND')],
    [withCode('EAI_AGAIN')],
    [withCode('EPIPE')],
    [withCode('ENOENT', 'connect ENOENT /run/postgresql/.s.PGSQL.5432')],
    [new Error('Connection terminated unexpectedly')],
    [new Error('timeout expired')],
  ])('means that the database is away: %s', (error) => {
    expect(isAway(error)).toBe(true);
  });

  it.each<[unknown]>([
    [withCode('28P01')],
    [withCode('28000', 'no pg_hba.conf entry')],
    [withCode('3D000')],
    [withCode('42501')],
    [withCode('08P01', 'unsupported startup parameter: options')],
    [withCode('08P01', 'no such database: x')],
    [withCode('DEPTH_ZERO_SELF_SIGNED_CERT')],
    [withCode('ERR_TLS_CERT_ALTNAME_INVALID')],
    [new Error('The server does not support SSL connections')],
    [new Error('SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string')],
    [undefined],
    ['text'],
  ])('does not mean that the database is away: %s', (error) => {
    expect(isAway(error)).toBe(false);
  });
});
