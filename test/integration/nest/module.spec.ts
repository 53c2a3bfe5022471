import { Inject, Injectable, Module } from '@nestjs/common';
import { getDataSourceToken, InjectRepository, TypeOrmModule } from '@nestjs/typeorm';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Column, DataSource, Entity, PrimaryColumn, type Repository } from 'typeorm';

import {
  getWorkflowClientToken,
  InjectWorkflowClient,
  Step,
  Workflow,
  WorkflowClient,
  WorkflowModule,
  WorkflowRun,
  WorkflowStep,
  type WorkflowModuleOptions,
  type WorkflowOptionsFactory,
} from '../../../src/index.js';
import { bootApplication, closeApplications } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { poolerOptions, reach } from '../../support/pooler.js';

@Injectable()
class Greeter {
  readonly greeting = 'hello';

  @Step()
  async greet(name: string): Promise<string> {
    return `${this.greeting} ${name}`;
  }
}

@Workflow({ name: 'greet' })
class GreetWorkflow {
  constructor(
    private readonly greeter: Greeter,
    @Inject('PUNCTUATION') private readonly punctuation: string,
  ) {}

  async run(name: string): Promise<string> {
    return `${await this.greeter.greet(name)}${await this.mark()}`;
  }

  @Step()
  async mark(): Promise<string> {
    return this.punctuation;
  }
}

const workflows = [GreetWorkflow, Greeter, { provide: 'PUNCTUATION', useValue: '!' }];

@Injectable()
class Reader {
  constructor(
    @InjectRepository(WorkflowRun) readonly runs: Repository<WorkflowRun>,
    @InjectRepository(WorkflowStep) readonly steps: Repository<WorkflowStep>,
    @InjectWorkflowClient() readonly byToken: WorkflowClient,
    readonly byClass: WorkflowClient,
  ) {}
}

@Entity()
class Invoice {
  @PrimaryColumn()
  id!: number;

  @Column()
  amount!: number;
}

let database: TestDatabase;
let optionsOf: () => WorkflowModuleOptions;

@Injectable()
class Options implements WorkflowOptionsFactory {
  async createWorkflowOptions(): Promise<WorkflowModuleOptions> {
    return optionsOf();
  }
}

@Module({ providers: [Options, { provide: 'URL', useFactory: () => database.url }], exports: [Options, 'URL'] })
class ConfigModule {}

describe('WorkflowModule', () => {
  beforeAll(async () => {
    database = await createTestDatabase();
    const url = await reach(database.url);
    optionsOf = () => ({ connection: { url }, worker: {}, ...poolerOptions(database.url) });
  });
  afterEach(closeApplications);
  afterAll(() => database.drop());

  const works = async (module: { get<T>(token: unknown): T }): Promise<void> => {
    const client = module.get<WorkflowClient>(WorkflowClient);
    await expect(client.execute(GreetWorkflow, 'Ada')).resolves.toBe('hello Ada!');
  };

  it('works with forRoot, and injects the dependencies of workflows', async () => {
    const module = await bootApplication({ imports: [WorkflowModule.forRoot(optionsOf())], providers: workflows });
    await works(module);
    const [run] = await database.query('SELECT id FROM durable.workflow_runs');
    expect((await module.get(WorkflowClient).steps(run.id)).map(({ stepKey }) => stepKey)).toEqual(['Greeter.greet', 'mark']);
  });

  it('works with forRootAsync and useFactory', async () => {
    const async = WorkflowModule.forRootAsync({
      imports: [ConfigModule],
      inject: ['URL', { token: 'NOT THERE', optional: true }],
      useFactory: async (url: string) => ({ connection: { url }, worker: {} }),
    });
    await works(await bootApplication({ imports: [async], providers: workflows }));
  });

  it('works with forRootAsync and useClass', async () => {
    await works(await bootApplication({ imports: [WorkflowModule.forRootAsync({ useClass: Options })], providers: workflows }));
  });

  it('works with forRootAsync and useExisting', async () => {
    const async = WorkflowModule.forRootAsync({ imports: [ConfigModule], useExisting: Options });
    await works(await bootApplication({ imports: [async], providers: workflows }));
  });

  it('refuses forRootAsync without useFactory, useClass and useExisting', () => {
    expect(() => WorkflowModule.forRootAsync({})).toThrow(/useFactory, useClass or useExisting/);
  });

  it('uses the database of the application’s DataSource, whose synchronize leaves its tables unchanged', async () => {
    const typeorm = TypeOrmModule.forRoot({
      type: 'postgres',
      url: await reach(database.url),
      autoLoadEntities: true,
      synchronize: true,
      dropSchema: true,
    });
    const imports = [typeorm, TypeOrmModule.forFeature([Invoice]), WorkflowModule.forRoot({ worker: {}, ...poolerOptions(database.url) })];
    const columns = () =>
      database.query(
        `SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'durable' ORDER BY 1, 2`,
      );
    await bootApplication({ imports, providers: workflows });
    const before = await columns();
    const [run] = await database.query('SELECT * FROM durable.workflow_runs LIMIT 1');
    await closeApplications();
    const module = await bootApplication({ imports, providers: workflows });
    await works(module);
    expect(await columns()).toEqual(before);
    expect(await database.query('SELECT * FROM durable.workflow_runs WHERE id = $1', [run.id])).toEqual([run]);
    const dataSource = module.get<DataSource>(getDataSourceToken());
    await dataSource.synchronize();
    expect(dataSource.entityMetadatas.map(({ name }) => name)).toEqual(['Invoice']);
    expect(await columns()).toEqual(before);
  });

  it('uses the DataSource that the option dataSource names', async () => {
    const elsewhere = await createTestDatabase();
    try {
      const typeorm = [
        TypeOrmModule.forRoot({ type: 'postgres', url: database.url }),
        TypeOrmModule.forRoot({ type: 'postgres', url: elsewhere.url, name: 'workflows' }),
      ];
      const module = await bootApplication({
        imports: [...typeorm, WorkflowModule.forRoot({ dataSource: 'workflows', worker: {} })],
        providers: workflows,
      });
      await works(module);
      expect(await elsewhere.query('SELECT status FROM durable.workflow_runs')).toEqual([{ status: 'completed' }]);
      await closeApplications();
    } finally {
      await elsewhere.drop();
    }
  });

  it('does not boot when the DataSource that it names is missing, although DATABASE_URL is set', async () => {
    process.env['DATABASE_URL'] = database.url;
    try {
      const boot = bootApplication({ imports: [WorkflowModule.forRoot({ dataSource: 'nowhere', worker: {} })] });
      await expect(boot).rejects.toMatchObject({ code: 'CONFIGURATION' });
    } finally {
      delete process.env['DATABASE_URL'];
    }
  });

  it('uses DATABASE_URL without a DataSource, and does not boot without either', async () => {
    process.env['DATABASE_URL'] = database.url;
    try {
      await works(await bootApplication({ imports: [WorkflowModule.forRoot({ worker: {} })], providers: workflows }));
      delete process.env['DATABASE_URL'];
      await expect(bootApplication({ imports: [WorkflowModule.forRoot()] })).rejects.toMatchObject({ code: 'CONFIGURATION' });
    } finally {
      delete process.env['DATABASE_URL'];
    }
  });

  it('gives repositories and the client to every module', async () => {
    @Module({ providers: [Reader], exports: [Reader] })
    class FeatureModule {}
    const module = await bootApplication({ imports: [WorkflowModule.forRoot(optionsOf()), FeatureModule], providers: workflows });
    const { runs, steps, byToken, byClass } = module.get(Reader, { strict: false });
    expect(byToken).toBe(byClass);
    expect(module.get(getWorkflowClientToken())).toBe(byToken);
    const handle = await byClass.start(GreetWorkflow, 'Bob');
    await handle.result();
    const run = await runs.findOneByOrFail({ id: handle.runId });
    expect(run).toBeInstanceOf(WorkflowRun);
    expect(run).toMatchObject({ name: 'greet', status: 'completed', input: 'Bob', output: 'hello Bob!', epoch: 1 });
    const found = await steps.find({ where: { runId: handle.runId }, order: { seq: 'ASC' } });
    expect(found.map(({ stepKey, output }) => [stepKey, output])).toEqual([
      ['Greeter.greet', 'hello Bob'],
      ['mark', '!'],
    ]);
  });

  it('is not global with isGlobal: false', async () => {
    @Module({ providers: [Reader] })
    class FeatureModule {}
    const imports = [WorkflowModule.forRoot({ ...optionsOf(), isGlobal: false }), FeatureModule];
    await expect(bootApplication({ imports })).rejects.toThrow(/resolve dependencies of the Reader/);
  });
});
