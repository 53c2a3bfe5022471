import { Injectable, Scope, type InjectableOptions, type Provider } from '@nestjs/common';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { Workflow, WorkflowConfigurationError, type WorkflowContext, type WorkflowOptions } from '../../../src/index.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';

interface ReportRun {
  run(tenant: string, ctx: WorkflowContext): Promise<string[]>;
}
type ReportClass = new () => ReportRun;

/** Makes a workflow that keeps its inputs in a field. */
function report(...decorators: ((type: ReportClass) => void)[]): ReportClass {
  class Report implements ReportRun {
    private readonly tenants: string[] = [];

    async run(tenant: string, ctx: WorkflowContext): Promise<string[]> {
      this.tenants.push(tenant);
      await ctx.sleep(20);
      return this.tenants;
    }
  }
  for (const decorator of decorators.reverse()) decorator(Report);
  return Report;
}

const workflow = (options: Partial<WorkflowOptions> = {}) => Workflow({ name: 'report', scope: Scope.REQUEST, ...options });
const injectable = (options?: InjectableOptions) => Injectable(options);

describe('a request-scoped workflow', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
    process.env['NODE_ENV'] = 'production';
  });
  afterEach(closeApplications);
  afterAll(async () => {
    process.env['NODE_ENV'] = 'test';
    await database.drop();
  });

  const boot = async (provider: Provider) => (await startApplication(database.url, [provider])).client;
  const tenants = ['a', 'b', 'c'];

  it.each<[string, ((type: ReportClass) => void)[]]>([
    ['without @Injectable', [workflow()]],
    ['above @Injectable()', [workflow(), injectable()]],
    ['below @Injectable()', [injectable(), workflow()]],
    ['above @Injectable({ durable })', [workflow(), injectable({ durable: true })]],
    ['below @Injectable({ durable })', [injectable({ durable: true }), workflow()]],
    ['below @Injectable({ scope: Scope.REQUEST })', [injectable({ scope: Scope.REQUEST }), workflow()]],
    ['without a scope, below a scoped @Injectable', [injectable({ scope: Scope.REQUEST }), workflow({ scope: undefined })]],
    ['without a scope, above a scoped @Injectable', [workflow({ scope: undefined }), injectable({ scope: Scope.REQUEST })]],
  ])('has an instance for each run with @Workflow %s', async (_, decorators) => {
    const Report = report(...decorators);
    const client = await boot(Report);
    await expect(Promise.all(tenants.map((tenant) => client.execute(Report, tenant)))).resolves.toEqual([['a'], ['b'], ['c']]);
  });

  it.each<[string, () => Provider]>([
    ['useFactory', () => ({ provide: Base, useFactory: () => new Base() })],
    ['useValue', () => ({ provide: Base, useValue: new Base() })],
    [
      'useClass of a subclass with @Injectable()',
      () => {
        @Injectable()
        class Sub extends Base {}
        return { provide: Base, useClass: Sub };
      },
    ],
    ['@Injectable({ scope: Scope.DEFAULT }) above', () => report(injectable({ scope: Scope.DEFAULT }), workflow())],
    ['@Injectable({ scope: Scope.DEFAULT }) below', () => report(workflow(), injectable({ scope: Scope.DEFAULT }))],
    ['@Injectable({ scope: Scope.TRANSIENT }) above', () => report(injectable({ scope: Scope.TRANSIENT }), workflow())],
  ])('fails the boot when %s overrides its scope', async (_, make) => {
    const error = await boot(make()).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(WorkflowConfigurationError);
    expect((error as Error).message).toMatch(/Scope\.REQUEST|transient/);
  });

  it('may come from a request-scoped factory, or be replaced by a value', async () => {
    const client = await boot({ provide: Base, useFactory: () => new Base(), scope: Scope.REQUEST });
    await expect(Promise.all(tenants.map((tenant) => client.execute(Base, tenant)))).resolves.toEqual([['a'], ['b'], ['c']]);
    await closeApplications();
    const faked = await boot({ provide: Base, useValue: { run: async () => ['fake'] } });
    await expect(faked.execute(Base, 'a')).resolves.toEqual(['fake']);
  });
});

const Base = report(workflow());
