import type { TestingModule } from '@nestjs/testing';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { DatabaseUnavailableError, WorkflowClient } from '../../src/index.js';
import { closeApplications } from '../support/application.js';
import { createTestDatabase } from '../support/database.js';
import { bootAt, GreetWorkflow } from '../support/faults/booting.js';
import { FaultProxy } from '../support/faults/proxy.js';
import { ServerPair } from '../support/faults/server-pair.js';

describe('an application that boots on a hot standby', () => {
  let pair: ServerPair;
  beforeAll(async () => {
    pair = await ServerPair.start('asynchronous');
  });
  afterAll(async () => {
    await closeApplications();
    await pair.stop();
  });
  const refused = async (): Promise<void> => {
    const error = await bootAt(pair.standby.url, 500).outcome;
    expect(error).toBeInstanceOf(DatabaseUnavailableError);
    const reason = /the server is a standby, and the module needs the primary \(cannot execute .* in a read-only transaction\)/;
    expect((error as Error).message).toMatch(reason);
  };

  it('fails with an error that names the standby, with and without the schema, and boots after the promotion of the standby', async () => {
    await refused();
    const primary = (await bootAt(pair.primary.url, 0).outcome) as TestingModule;
    await primary.close();
    await pair.caughtUp();
    await refused();

    const { outcome, warned } = bootAt(pair.standby.url, 120_000);
    await warned(/^database: unreachable: the server is a standby/);
    await pair.failOver();
    const module = await outcome;
    if (module instanceof Error) throw module;
    expect(await module.get(WorkflowClient).execute(GreetWorkflow, 'you')).toBe('hello you');
  });
});

describe('an application whose server stops answering in a migration', () => {
  afterAll(closeApplications);

  it('boots once the server answers again', async () => {
    const database = await createTestDatabase();
    const proxy = await FaultProxy.start(database.url);
    const silent = proxy.silenceAt('CREATE TABLE');
    const { outcome, warned } = bootAt(proxy.url, 60_000);
    await silent;
    await warned(/^database: unreachable: the server has stopped answering/);
    proxy.restore();
    const module = (await outcome) as TestingModule;
    expect(await module.get(WorkflowClient).execute(GreetWorkflow, 'you')).toBe('hello you');
    await module.close();
    await proxy.stop();
    await database.drop();
  });
});
