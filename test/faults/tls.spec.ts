import { dirname, join } from 'node:path';

import type { TestingModule } from '@nestjs/testing';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';

import { Workflow, WorkflowClient, WorkflowConfigurationError, WorkflowModule, type WorkflowModuleOptions } from '../../src/index.js';
import { bootApplication, closeApplications } from '../support/application.js';
import { PgBouncer, pgBouncerVersion } from '../support/pgbouncer.js';
import { hasOpenSsl, startTlsServer, type TlsServer } from '../support/tls-server.js';

@Workflow({ name: 'greet' })
class GreetWorkflow {
  async run(name: string): Promise<string> {
    return `hello ${name}`;
  }
}

(hasOpenSsl ? describe : describe.skip)('TLS with a certificate of a private authority', () => {
  let server: TlsServer;
  let bouncer: PgBouncer | undefined;
  beforeAll(async () => {
    server = await startTlsServer();
    if (pgBouncerVersion === undefined) return;
    const folder = dirname(server.caFile);
    bouncer = await PgBouncer.start(server.url, [
      'client_tls_sslmode = allow',
      `client_tls_key_file = ${join(folder, 'server.key')}`,
      `client_tls_cert_file = ${join(folder, 'server.crt')}`,
      'server_tls_sslmode = verify-full',
      `server_tls_ca_file = ${server.caFile}`,
    ]);
  });
  afterEach(closeApplications);
  afterAll(async () => {
    await bouncer?.stop();
    await server.stop();
  });

  const boot = (url: URL, options: WorkflowModuleOptions): Promise<TestingModule> =>
    bootApplication({
      imports: [WorkflowModule.forRoot({ worker: {}, ...options, connection: { url: url.href } })],
      providers: [GreetWorkflow],
    });
  const verified = (url: string): URL => {
    const address = new URL(url);
    address.hostname = 'localhost';
    address.searchParams.set('sslmode', 'verify-full');
    address.searchParams.set('sslrootcert', server.caFile);
    return address;
  };
  const isUnknown = async (address: URL, options: WorkflowModuleOptions): Promise<void> => {
    address.searchParams.delete('sslrootcert');
    const error = await boot(address, options).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(WorkflowConfigurationError);
    expect((error as Error).message).toMatch(/certificate/);
  };

  it('encrypts every connection to the server, and makes the boot refuse an unknown certificate', async () => {
    const module = await boot(verified(server.url), {});
    expect(await module.get(WorkflowClient).execute(GreetWorkflow, 'you')).toBe('hello you');
    await module.get(WorkflowClient).list({});
    const client = new pg.Client({ connectionString: server.url });
    await client.connect();
    const { rows } = await client.query(`SELECT DISTINCT s.ssl FROM pg_stat_activity a JOIN pg_stat_ssl s USING (pid)
      WHERE a.application_name = 'nestjs-durable'`);
    await client.end();
    expect(rows).toEqual([{ ssl: true }]);
    await isUnknown(verified(server.url), {});
  });

  (pgBouncerVersion === undefined ? it.skip : it)('encrypts connections to a PgBouncer, and refuses an unknown certificate', async () => {
    const through = bouncer!.urlOf();
    const module = await boot(verified(through), { pooler: 'transaction', listen: { url: verified(server.url).href } });
    const client = module.get(WorkflowClient);
    expect(await client.execute(GreetWorkflow, 'you')).toBe('hello you');
    expect((await client.list({})).runs.length).toBeGreaterThan(0);
    await isUnknown(verified(through), { pooler: 'transaction' });
  });
});
