import { Controller, Injectable, Logger, Module, type DynamicModule, type INestApplicationContext } from '@nestjs/common';
import { ConfigModule, ConfigService } from '@nestjs/config';
import { NestFactory } from '@nestjs/core';
import { MessagePattern, Transport, type MicroserviceOptions } from '@nestjs/microservices';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { Test, type OverrideBy, type TestingModuleBuilder } from '@nestjs/testing';
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';

import {
  getWorkflowClientToken,
  getWorkflowOptionsToken,
  InjectWorkflowClient,
  Step,
  Workflow,
  WORKFLOW_OPTIONS,
  WorkflowClient,
  WorkflowModule,
  type WorkflowContext,
} from '../../../src/index.js';
import { bootApplication, closeApplications, closeLater } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { waitFor } from '../../support/wait.js';

@Injectable()
class PaymentService {
  async charge(): Promise<string> {
    return 'really charged';
  }
}

@Workflow({ name: 'pay' })
class PayWorkflow {
  constructor(private readonly payments: PaymentService) {}

  async run(): Promise<string> {
    return this.charge();
  }

  @Step()
  async charge(): Promise<string> {
    return this.payments.charge();
  }
}

@Workflow({ name: 'invoice', module: 'billing' })
class InvoiceWorkflow {
  async run(): Promise<string> {
    return 'invoiced';
  }
}

class Handmade {
  @Step()
  async help(): Promise<string> {
    return 'helped';
  }
}

@Workflow({ name: 'handmade' })
class HandmadeWorkflow {
  async run(): Promise<string> {
    return new Handmade().help();
  }
}

@Controller()
class MessagesController {
  @MessagePattern('hello')
  hello(): string {
    return 'hello';
  }
}

describe('WorkflowModule', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(async () => {
    jest.restoreAllMocks();
    await closeApplications();
  });
  afterAll(() => database.drop());

  const providers = [PayWorkflow, PaymentService];
  const appModule = (...imports: DynamicModule[]) => {
    @Module({ imports, providers, controllers: [MessagesController] })
    class AppModule {}
    return AppModule;
  };
  const connections = () =>
    database.query(`SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'nestjs-durable'`);
  /** Waits for the end of earlier connections: the server ends their processes in its own time. */
  const noConnections = () => waitFor(async () => (await connections()).length === 0);
  /** All lines that Nest's logger received. */
  const told = (): string[] => {
    const lines: string[] = [];
    for (const level of ['warn', 'log'] as const) {
      jest.spyOn(Logger.prototype, level).mockImplementation((message: unknown) => void lines.push(String(message)));
    }
    return lines;
  };

  it('takes options from ConfigModule', async () => {
    const config = ConfigModule.forRoot({
      ignoreEnvFile: true,
      load: [() => ({ workflows: { url: database.url, schema: 'configured' } })],
    });
    const workflows = WorkflowModule.forRootAsync({
      imports: [config],
      inject: [ConfigService],
      useFactory: (service: ConfigService) => ({
        connection: { url: service.getOrThrow<string>('workflows.url') },
        schema: service.getOrThrow<string>('workflows.schema'),
        worker: {},
      }),
    });
    const named = WorkflowModule.forRootAsync({
      name: 'billing',
      imports: [config],
      inject: [ConfigService],
      useFactory: async (service: ConfigService) => ({ connection: { url: service.getOrThrow<string>('workflows.url') }, worker: {} }),
    });
    const module = await bootApplication({ imports: [workflows, named], providers: [...providers, InvoiceWorkflow] });
    await expect(module.get(WorkflowClient).execute(PayWorkflow)).resolves.toBe('really charged');
    await expect(module.get<WorkflowClient>(getWorkflowClientToken('billing')).execute(InvoiceWorkflow)).resolves.toBe('invoiced');
    expect(await database.query('SELECT name FROM configured.workflow_runs')).toEqual([{ name: 'pay' }]);
    expect(await database.query('SELECT name FROM durable.workflow_runs')).toEqual([{ name: 'invoice' }]);
  });

  it('fails the boot with the error of its options factory, and leaves no connection open', async () => {
    await noConnections();
    const failing = WorkflowModule.forRootAsync({
      inject: [ConfigService],
      imports: [ConfigModule.forRoot({ ignoreEnvFile: true })],
      useFactory: (service: ConfigService) => ({ schema: service.getOrThrow<string>('NO_SUCH_SETTING') }),
    });
    await expect(bootApplication({ imports: [failing], providers })).rejects.toThrow(/NO_SUCH_SETTING/);
    expect(await connections()).toEqual([]);
  });

  it('uses options and services that a test overrides', async () => {
    const imports = [
      WorkflowModule.forRoot({ connection: { url: 'postgresql://nobody@127.0.0.1:1/production' } }),
      WorkflowModule.forRoot({ name: 'billing', connection: { url: 'postgresql://nobody@127.0.0.1:1/production' } }),
    ];
    const module = await Test.createTestingModule({ imports, providers: [...providers, InvoiceWorkflow] })
      .overrideProvider(WORKFLOW_OPTIONS)
      .useValue({ connection: { url: database.url }, worker: {} })
      .overrideProvider(getWorkflowOptionsToken('billing'))
      .useValue({ connection: { url: database.url }, schema: 'overridden', worker: {} })
      .overrideProvider(PaymentService)
      .useValue({ charge: async () => 'pretended' })
      .compile();
    closeLater(module);
    module.useLogger(false);
    await module.init();
    await expect(module.get(WorkflowClient).execute(PayWorkflow)).resolves.toBe('pretended');
    await expect(module.get<WorkflowClient>(getWorkflowClientToken('billing')).execute(InvoiceWorkflow)).resolves.toBe('invoiced');
    expect(await database.query('SELECT name FROM overridden.workflow_runs')).toEqual([{ name: 'invoice' }]);
  });

  const microservice = { transport: Transport.TCP, options: { port: 0 } } as const;
  const stayPending = async (app: INestApplicationContext): Promise<void> => {
    const handle = await app.get(WorkflowClient).start(PayWorkflow);
    await expect(handle.result({ timeout: 250 })).rejects.toMatchObject({ code: 'RESULT_TIMEOUT' });
    await expect(handle.status()).resolves.toBe('pending');
    await handle.cancel();
  };

  it('injects the client that a test overrides, by its class and by its token', async () => {
    @Injectable()
    class Shop {
      constructor(
        readonly byClass: WorkflowClient,
        @InjectWorkflowClient() readonly byToken: WorkflowClient,
      ) {}
    }
    const fake = { start: async () => ({ runId: 'pretended' }) };
    const imports = [WorkflowModule.forRoot({ connection: { url: database.url } })];
    const tested = Test.createTestingModule({ imports, providers: [Shop] })
      .overrideProvider(WorkflowClient)
      .useValue(fake);
    const module = closeLater(await tested.compile());
    module.useLogger(false);
    const shop = (await module.init()).get(Shop);
    expect(shop.byClass).toBe(fake);
    expect(shop.byToken).toBe(fake);
  });

  describe('a replaced workflow', () => {
    class FakePay {
      async run(): Promise<string> {
        return 'pretended';
      }
    }
    class ExtendingPay extends PayWorkflow {
      override async run(): Promise<string> {
        return 'pretended';
      }
    }
    @Workflow({ name: 'parent-of-pay' })
    class ParentWorkflow {
      async run(_: void, ctx: WorkflowContext): Promise<string> {
        return `child ${await ctx.invoke(PayWorkflow)}`;
      }
    }
    type Replace = (by: OverrideBy) => TestingModuleBuilder;
    const build = async (replace: Replace) => {
      const imports = [WorkflowModule.forRoot({ connection: { url: database.url }, worker: {} })];
      const tested = Test.createTestingModule({ imports, providers: [PaymentService, PayWorkflow, ParentWorkflow] });
      const module = closeLater(await replace(tested.overrideProvider(PayWorkflow)).compile());
      module.useLogger(false);
      return module.init();
    };

    it.each<[string, Replace]>([
      ['a test gives a value', (by) => by.useValue({ run: async () => 'pretended' })],
      ['a test gives a factory', (by) => by.useFactory({ factory: () => new FakePay() })],
      ['a test gives a class', (by) => by.useClass(FakePay)],
      ['a test gives a subclass', (by) => by.useClass(ExtendingPay)],
    ])('executes its replacement, alone and as a child: %s', async (_, replace) => {
      const client = (await build(replace)).get(WorkflowClient);
      await expect(client.execute(PayWorkflow)).resolves.toBe('pretended');
      await expect(client.execute(ParentWorkflow)).resolves.toBe('child pretended');
    });

    it('fails the boot when its replacement has no run', async () => {
      await expect(build((by) => by.useValue({ walk: async () => 'on foot' }))).rejects.toThrow(
        '@Workflow() on PayWorkflow: its provider has no method run(input, ctx)',
      );
      await expect(build((by) => by.useValue(undefined))).rejects.toThrow(/PayWorkflow: its provider has no method run/);
    });

    it('executes the class that useExisting gives in its place', async () => {
      const imports = [WorkflowModule.forRoot({ connection: { url: database.url }, worker: {} })];
      const module = await bootApplication({ imports, providers: [FakePay, { provide: PayWorkflow, useExisting: FakePay }] });
      await expect(module.get(WorkflowClient).execute(PayWorkflow)).resolves.toBe('pretended');
    });
  });

  it('executes runs in a microservice only with the option worker', async () => {
    const modules = [{}, { worker: {} }].map((options) =>
      appModule(WorkflowModule.forRoot({ connection: { url: database.url }, ...options })),
    );
    const [quiet, busy] = await Promise.all(
      modules.map(async (module) =>
        closeLater(await NestFactory.createMicroservice<MicroserviceOptions>(module, { ...microservice, logger: false })),
      ),
    );
    await quiet!.listen();
    await stayPending(quiet!);
    await busy!.listen();
    await expect(busy!.get(WorkflowClient).execute(PayWorkflow)).resolves.toBe('really charged');
  });

  it('executes runs in a hybrid application once it listens for HTTP', async () => {
    const module = appModule(WorkflowModule.forRoot({ connection: { url: database.url } }));
    const app = closeLater(await NestFactory.create<NestExpressApplication>(module, { logger: false, abortOnError: false }));
    app.connectMicroservice<MicroserviceOptions>(microservice);
    await app.startAllMicroservices();
    await stayPending(app);
    await app.listen(0);
    await expect(app.get(WorkflowClient).execute(PayWorkflow)).resolves.toBe('really charged');
  });

  it('warns of workflows whose module is not imported, and of steps outside of providers', async () => {
    const environment = process.env['NODE_ENV'];
    const lines = told();
    // Classes that no module provides, as a barrel file of a monorepo loads them.
    const loaded = ['a', 'b', 'c', 'd', 'e'].map((name) => {
      class Loaded {
        @Step()
        async help(): Promise<string> {
          return name;
        }
      }
      return Loaded;
    });
    try {
      expect(loaded).toHaveLength(5);
      process.env['NODE_ENV'] = 'development';
      const imports = [WorkflowModule.forRoot({ connection: { url: database.url }, worker: {} })];
      const module = await Test.createTestingModule({ imports, providers: [HandmadeWorkflow, InvoiceWorkflow] }).compile();
      closeLater(module);
      await module.init();
      expect(lines).toContain(
        'module: InvoiceWorkflow belongs to WorkflowModule "billing", which is not imported; this process does not execute it [module-not-imported]',
      );
      const orphans = lines.filter((line) => line.includes('not among the providers'));
      expect(orphans).toEqual([expect.stringMatching(/^module: @Step\(\) on (\w+\.\w+, ){4}\w+\.\w+ and \d+ more: /)]);
      await expect(module.get(WorkflowClient).execute(HandmadeWorkflow)).resolves.toBe('helped');
    } finally {
      process.env['NODE_ENV'] = environment;
    }
  });

  it('warns when an HTTP application does not listen, and names the remedies', async () => {
    const lines = told();
    const warnings = () => lines.filter((line) => line.includes('executes no run yet'));
    const boot = async (worker?: {}): Promise<NestExpressApplication> => {
      const options = { connection: { url: database.url }, ...(worker ? { worker } : {}) };
      return closeLater(await NestFactory.create<NestExpressApplication>(appModule(WorkflowModule.forRoot(options))));
    };
    await (await boot({})).init();
    await (await boot()).listen(0);
    const own = await boot();
    await own.init();
    await waitFor(() => warnings().length > 0);
    expect(warnings()).toEqual([expect.stringMatching(/app\.listen\(\).*`worker: \{\}`.*`worker: false`/)]);
  });

  it('warns when shutdown hooks are off', async () => {
    const environment = process.env['NODE_ENV'];
    const lines = told();
    const hooks = () => lines.filter((line) => line.includes('shutdown hooks are off'));
    const listeners = process.listeners('SIGTERM');
    process.removeAllListeners('SIGTERM');
    const boot = async (): Promise<NestExpressApplication> =>
      closeLater(
        await NestFactory.create<NestExpressApplication>(appModule(WorkflowModule.forRoot({ connection: { url: database.url } }))),
      );
    try {
      process.env['NODE_ENV'] = 'development';
      const careless = await boot();
      await careless.listen(0);
      await waitFor(() => hooks().length === 1);
      await careless.close();
    } finally {
      for (const listener of listeners) process.on('SIGTERM', listener);
      process.env['NODE_ENV'] = environment;
    }
  });
});
