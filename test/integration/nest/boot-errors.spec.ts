import { Controller, Global, Injectable, Module, Scope, type Provider } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { getDataSourceToken } from '@nestjs/typeorm';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { InvalidInputError, Step, Workflow, WorkflowConfigurationError, WorkflowModule, type WorkflowOptions } from '../../../src/index.js';
import { bootApplication, closeApplications, closeLater } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { waitFor } from '../../support/wait.js';

@Workflow({ name: 'greet' })
class GreetWorkflow {
  async run(): Promise<void> {}
}

@Workflow({ name: 'greet' })
class ImpostorWorkflow {
  async run(): Promise<void> {}
}

@Workflow({ name: 'greet', version: 2 })
class GreetWorkflowV2 {
  async run(): Promise<void> {}
}

@(Workflow({ name: 'idle' }) as ClassDecorator)
class NoRunWorkflow {}

@Workflow({ name: 'transient' })
@Injectable({ scope: Scope.TRANSIENT })
class TransientWorkflow {
  async run(): Promise<void> {}
}

@Controller()
class StepController {
  @Step()
  async charge(): Promise<void> {}
}

const withOptions = (options: unknown): Provider => {
  @Workflow(options as WorkflowOptions)
  class Odd {
    async run(): Promise<void> {}
  }
  return Odd;
};

describe('boot errors', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(closeApplications);
  afterAll(() => database.drop());

  const boot = (providers: Provider[]) =>
    bootApplication({ imports: [WorkflowModule.forRoot({ connection: { url: database.url }, worker: {} })], providers });

  it('the boot fails with options from a request-scoped provider', async () => {
    const config = { provide: 'CONFIG', useFactory: () => ({ url: database.url }), scope: Scope.REQUEST };
    @Module({ providers: [config], exports: [config] })
    class ConfigurationModule {}
    const useFactory = (connection: { url: string }) => ({ connection });
    const module = WorkflowModule.forRootAsync({ name: 'billing', imports: [ConfigurationModule], inject: ['CONFIG'], useFactory });
    const booting = bootApplication({ imports: [module] });
    await expect(booting).rejects.toThrow(/WorkflowModule "billing" depends on a request-scoped provider/);
    await expect(booting).rejects.toBeInstanceOf(WorkflowConfigurationError);
  });

  it('the boot fails with two classes of one name and version', async () => {
    const error = await boot([GreetWorkflow, ImpostorWorkflow]).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(WorkflowConfigurationError);
    expect((error as Error).message).toMatch(/GreetWorkflow and ImpostorWorkflow.*"greet" version 1/);
  });

  it('a failed boot leaves no connection and no session, although nobody closes the application', async () => {
    const imports = [WorkflowModule.forRoot({ connection: { url: database.url }, worker: {} })];
    const module = closeLater(await Test.createTestingModule({ imports, providers: [GreetWorkflow, ImpostorWorkflow] }).compile());
    module.useLogger(false);
    const connections = () =>
      database.query(`SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'nestjs-durable'`);
    expect(await connections()).not.toEqual([]);
    await expect(module.init()).rejects.toBeInstanceOf(WorkflowConfigurationError);
    await waitFor(async () => (await connections()).length === 0);
    expect(await database.query('SELECT * FROM durable.workflow_sessions')).toEqual([]);
  });

  it('the boot succeeds with two versions of a workflow, and with one class provided twice', async () => {
    await boot([GreetWorkflow, GreetWorkflowV2, { provide: 'again', useClass: GreetWorkflow }]);
    const [session] = await database.query('SELECT * FROM durable.workflow_sessions');
    expect(session.pid).toBe(process.pid);
  });

  it('the boot fails with a workflow that has no run', async () => {
    await expect(boot([NoRunWorkflow])).rejects.toThrow(/NoRunWorkflow.*no method run/);
    await expect(boot([NoRunWorkflow])).rejects.toBeInstanceOf(WorkflowConfigurationError);
  });

  it('the boot fails with a transient workflow', async () => {
    await expect(boot([TransientWorkflow])).rejects.toThrow(/TransientWorkflow is transient/);
  });

  it('the boot fails with a step of a controller', async () => {
    const controllers = [StepController];
    const imports = [WorkflowModule.forRoot({ connection: { url: database.url } })];
    await expect(bootApplication({ imports, controllers })).rejects.toThrow(/@Step\(\) on StepController\.charge: a workflow cannot call/);
  });

  it.each<[string, unknown]>([
    ['no options', undefined],
    ['null', null],
    ['no name', {}],
    ['a name that is a number', { name: 5 }],
    ['an empty name', { name: '' }],
    ['a name of 10,000 characters', { name: 'x'.repeat(10_000) }],
    ['a name with NUL', { name: 'a\u0000' }],
    ['version 0', { name: 'odd', version: 0 }],
    ['version 1.5', { name: 'odd', version: 1.5 }],
    ['version "1"', { name: 'odd', version: '1' }],
    ['version null', { name: 'odd', version: null }],
    ['a huge version', { name: 'odd', version: 2 ** 31 }],
    ['an empty queue', { name: 'odd', queue: '' }],
    ['a queue that is a number', { name: 'odd', queue: 5 }],
    ['a retry that is a number', { name: 'odd', retry: 3 }],
    ['a retry without attempts', { name: 'odd', retry: { maxAttempts: 0 } }],
    ['a module that is a number', { name: 'odd', module: 5 }],
    ['a module called default', { name: 'odd', module: 'default' }],
    ['a misspelt option', { name: 'odd', verison: 2 }],
  ])('the boot fails with a @Workflow that has %s', async (_, options) => {
    const error = await (async () => boot([withOptions(options)]))().catch((thrown: unknown) => thrown);
    expect([WorkflowConfigurationError, InvalidInputError].some((type) => error instanceof type)).toBe(true);
    expect((error as Error).message).toMatch(/@Workflow\(\) on Odd/);
  });

  it('@Step refuses static methods, fields, getters and generators', () => {
    expect(() => {
      class Tool {
        @Step()
        static async charge(): Promise<void> {}
      }
      return Tool;
    }).toThrow(/@Step\(\) on Tool\.charge/);
    expect(() => {
      class Tool {
        @(Step() as unknown as PropertyDecorator)
        readonly charge = async (): Promise<void> => undefined;
      }
      return Tool;
    }).toThrow(WorkflowConfigurationError);
    expect(() => {
      class Tool {
        @(Step() as unknown as MethodDecorator)
        get charge(): number {
          return 5;
        }
      }
      return Tool;
    }).toThrow(/@Step\(\) on Tool\.charge/);
    expect(() => {
      class Tool {
        @(Step() as unknown as MethodDecorator)
        async *charge(): AsyncGenerator<number> {
          yield 5;
        }
      }
      return Tool;
    }).toThrow(/@Step\(\) on Tool\.charge: a generator/);
  });

  it('@Workflow refuses a class whose run is a generator', () => {
    const decorate = Workflow({ name: 'generator' }) as ClassDecorator;
    class Base {
      async *run(): AsyncGenerator<number> {
        yield 5;
      }
    }
    class Sync {
      *run(): Generator<number> {
        yield 5;
      }
    }
    class Inherited extends Base {}
    for (const type of [Base, Sync, Inherited]) expect(() => decorate(type)).toThrow(/on (Base|Sync|Inherited): run is a generator/);
  });

  it('a failed boot leaves no connection after the application is closed', async () => {
    await boot([NoRunWorkflow]).catch(() => undefined);
    await closeApplications();
    const connections = `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'nestjs-durable'`;
    // A server process ends a moment after its client disconnects.
    await waitFor(async () => (await database.query(connections)).length === 0);
  });

  it('the boot fails with a DataSource of another kind of database', async () => {
    @Global()
    @Module({ providers: [{ provide: getDataSourceToken(), useValue: { options: { type: 'mysql' } } }], exports: [getDataSourceToken()] })
    class MysqlModule {}
    const boot = bootApplication({ imports: [MysqlModule, WorkflowModule.forRoot({})] });
    await expect(boot).rejects.toThrow(/"mysql"; workflows need one of type "postgres"/);
  });
});
