import { Test, type TestingModule } from '@nestjs/testing';
import type { Provider } from '@nestjs/common';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import {
  Workflow,
  WorkflowClient,
  WorkflowConfigurationError,
  WorkflowModule,
  type WorkflowContext,
  type WorkflowModuleOptions,
} from '../../../src/index.js';
import { toSettings } from '../../../src/nest/options/options.js';
import { unregisteredResults } from '../../../src/host/unregistered-results.js';
import type { Database } from '../../../src/store/database.js';
import { closeApplications, closeLater } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';

@Workflow({ name: 'greet' })
class Greet {
  async run(): Promise<string> {
    return 'hello';
  }
}

@Workflow({ name: 'stranger' })
class Stranger {
  async run(): Promise<void> {}
}

@Workflow({ name: 'parent' })
class Parent {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    await ctx.invoke(Stranger, undefined, { id: `child of ${ctx.runId}` });
  }
}

describe('a test that waits for a run which nobody executes', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(closeApplications);
  afterAll(() => database.drop());

  const compile = async (providers: Provider[], options: WorkflowModuleOptions = {}): Promise<TestingModule> => {
    const imports = [WorkflowModule.forRoot({ connection: { url: database.url }, ...options })];
    const module = await Test.createTestingModule({ imports, providers }).compile();
    module.useLogger(false);
    closeLater(module);
    return module;
  };
  const refusal = async (work: Promise<unknown>): Promise<string> => {
    const error: unknown = await work.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(WorkflowConfigurationError);
    return (error as Error).message;
  };

  it('fails with the hint that the application has no worker', async () => {
    const module = await compile([Greet]);
    const client = module.get(WorkflowClient);
    expect(await refusal(client.execute(Greet, undefined, { id: 'early' }))).toContain('the module has not been initialized');
    await module.init();
    const message = await refusal(client.execute(Greet, undefined, { id: 'forgotten', resultTimeout: '1h' }));
    expect(message).toContain(
      'Run "forgotten" waits for a process that executes "greet" version 1 in queue "default", and no live worker does',
    );
    expect(message).toContain('it does not listen for HTTP requests');
    expect(message).toContain('WorkflowModule.forRoot({ worker: {} })');
    expect(await refusal(client.getHandle('forgotten').result())).toBe(message);
  });

  it('fails with the hint that the application does not listen', async () => {
    const application = (await compile([Greet])).createNestApplication({ logger: false });
    await application.init();
    expect(await refusal(application.get(WorkflowClient).execute(Greet))).toContain('it has not listened for HTTP requests (app.listen())');
  });

  it('fails with the hint that no workflow is among the providers', async () => {
    const module = await compile([], { worker: {} });
    await module.init();
    expect(await refusal(module.get(WorkflowClient).execute(Greet))).toContain(
      'no class with @Workflow of this module is among the providers',
    );
  });

  it('fails with hints at a similar name, at another queue and at a child run', async () => {
    const module = await compile([Greet, Parent], { worker: { suspendAfter: 0 } });
    await module.init();
    const client = module.get(WorkflowClient);
    const messages = await Promise.all([
      refusal(client.execute('gret')),
      refusal(client.execute(Greet, undefined, { queue: 'prio' })),
      refusal(client.execute(Parent, undefined, { id: 'p' })),
    ]);
    expect(messages[0]).toContain('executes "gret" in queue "default", and no live worker does: the name resembles "greet"');
    expect(messages[1]).toContain('live workers execute it from queue "default"');
    expect(messages[2]).toContain('Run "p" waits for run "child of p", which waits for a process that executes "stranger"');
    // Other runs complete.
    expect(await client.execute(Greet)).toBe('hello');
  });

  it('fails early only with NODE_ENV=test, where no worker starts later', () => {
    const watches = (options: WorkflowModuleOptions, environment: NodeJS.ProcessEnv): boolean =>
      unregisteredResults(
        {} as Database,
        { settings: toSettings(options, environment), now: Date.now, idle: () => undefined },
        environment,
      ) !== undefined;
    const test = { NODE_ENV: 'test' };
    expect([watches({}, test), watches({ worker: {} }, test)]).toEqual([true, true]);
    expect([watches({}, {}), watches({}, { NODE_ENV: 'production' })]).toEqual([false, false]);
    expect(watches({ worker: false }, test)).toBe(false);
    expect(watches({}, { ...test, DURABLE_WORKER: 'off' })).toBe(false);
    expect(watches({ worker: { onMismatch: 'block' } }, test)).toBe(false);
  });
});
