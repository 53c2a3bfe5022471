import { Injectable, Module, type DynamicModule } from '@nestjs/common';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { Repository } from 'typeorm';

import {
  getWorkflowClientToken,
  InjectWorkflowClient,
  InjectWorkflowRepository,
  InvalidInputError,
  Workflow,
  WorkflowClient,
  WorkflowConfigurationError,
  WorkflowModule,
  WorkflowRun,
  type WorkflowModuleOptions,
} from '../../../src/index.js';
import { bootApplication, closeApplications } from '../../support/application.js';
import { waitFor } from '../../support/wait.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';

@Workflow({ name: 'order' })
class OrderWorkflow {
  async run(order: number): Promise<string> {
    return `order ${order}`;
  }
}

@Workflow({ name: 'invoice', module: 'billing' })
class InvoiceWorkflow {
  async run(invoice: number): Promise<string> {
    return `invoice ${invoice}`;
  }
}

@Injectable()
class Reader {
  constructor(
    readonly byClass: WorkflowClient,
    @InjectWorkflowClient() readonly orders: WorkflowClient,
    @InjectWorkflowClient('billing') readonly billing: WorkflowClient,
    @InjectWorkflowRepository(WorkflowRun) readonly orderRuns: Repository<WorkflowRun>,
    @InjectWorkflowRepository(WorkflowRun, 'billing') readonly billingRuns: Repository<WorkflowRun>,
  ) {}
}

describe('several WorkflowModules in one application', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(closeApplications);
  afterAll(() => database.drop());

  const unnamed = (options: WorkflowModuleOptions = {}): DynamicModule =>
    WorkflowModule.forRoot({ connection: { url: database.url }, worker: {}, ...options });
  const billing = (options: WorkflowModuleOptions & { isGlobal?: boolean } = {}): DynamicModule =>
    WorkflowModule.forRoot({ name: 'billing', connection: { url: database.url }, schema: 'billing', worker: {}, ...options });
  const providers = [OrderWorkflow, InvoiceWorkflow];
  const connections = () =>
    database.query(`SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'nestjs-durable'`);
  /** The server ends the process of a closed connection in its own time. */
  const noConnections = () => waitFor(async () => (await connections()).length === 0);

  it('have clients, repositories, schemas and workers of their own', async () => {
    const module = await bootApplication({ imports: [unnamed(), billing()], providers: [...providers, Reader] });
    const { byClass, orders, billing: invoices, orderRuns, billingRuns } = module.get(Reader);
    expect(orders).toBe(byClass);
    expect(invoices).not.toBe(orders);
    await expect(orders.execute(OrderWorkflow, 1)).resolves.toBe('order 1');
    await expect(invoices.execute(InvoiceWorkflow, 2)).resolves.toBe('invoice 2');
    expect((await orderRuns.find()).map(({ name }) => name)).toEqual(['order']);
    expect((await billingRuns.find()).map(({ name }) => name)).toEqual(['invoice']);
    expect(await database.query('SELECT name FROM billing.workflow_runs')).toEqual([{ name: 'invoice' }]);
    expect(await database.query('SELECT id FROM billing.workflow_sessions')).toHaveLength(1);
    await closeApplications();
    await noConnections();
    expect(await database.query('SELECT id FROM billing.workflow_sessions')).toEqual([]);
  });

  it('refuse each other’s workflows, and write nothing', async () => {
    const module = await bootApplication({ imports: [unnamed(), billing()], providers: [...providers, Reader] });
    const { orders, billing: invoices } = module.get(Reader);
    const before = await database.query('SELECT id FROM durable.workflow_runs');
    await expect(orders.start(InvoiceWorkflow, 1)).rejects.toBeInstanceOf(InvalidInputError);
    await expect(orders.startMany(InvoiceWorkflow, [1])).rejects.toThrow(
      '"invoice" belongs to module "billing", and this is the client of the module without a name: inject the other one with @InjectWorkflowClient("billing")',
    );
    await expect(invoices.start(OrderWorkflow, 1)).rejects.toThrow('inject the other one with @InjectWorkflowClient()');
    expect(await database.query('SELECT id FROM durable.workflow_runs')).toEqual(before);
  });

  it('work beside each other on one schema', async () => {
    const module = await bootApplication({ imports: [unnamed(), billing({ schema: 'durable' })], providers: [...providers, Reader] });
    const { orders, billing: invoices, orderRuns } = module.get(Reader);
    const handles = [await orders.start(OrderWorkflow, 1), await invoices.start(InvoiceWorkflow, 2)];
    expect(await Promise.all(handles.map((handle) => handle.result()))).toEqual(['order 1', 'invoice 2']);
    expect(await orders.status(handles[1]!.runId)).toBe('completed');
    const found = await orderRuns.find({ where: handles.map(({ runId }) => ({ id: runId })), order: { name: 'ASC' } });
    expect(found.map(({ name }) => name)).toEqual(['invoice', 'order']);
  });

  it('a named module alone provides its client by token, and not by class', async () => {
    const module = await bootApplication({ imports: [billing()], providers: [InvoiceWorkflow] });
    await expect(module.get<WorkflowClient>(getWorkflowClientToken('billing')).execute(InvoiceWorkflow, 3)).resolves.toBe('invoice 3');
    expect(() => module.get(WorkflowClient)).toThrow(/could not find WorkflowClient/i);
  });

  it('do not boot when two have one name, and open no connection', async () => {
    await noConnections();
    const twice = bootApplication({ imports: [unnamed(), unnamed({ schema: 'other' })], providers });
    await expect(twice).rejects.toBeInstanceOf(WorkflowConfigurationError);
    await expect(twice).rejects.toThrow('WorkflowModule is imported 2 times');
    await closeApplications();
    const named = bootApplication({ imports: [unnamed(), billing(), billing({ schema: 'other' })], providers });
    await expect(named).rejects.toThrow('WorkflowModule "billing" is imported 2 times: give each its own `name`');
    expect(await connections()).toEqual([]);
  });

  it('one dynamic module may be imported in several places', async () => {
    const shared = unnamed();
    @Module({ imports: [shared] })
    class FeatureModule {}
    const module = await bootApplication({ imports: [shared, FeatureModule], providers: [OrderWorkflow] });
    await expect(module.get(WorkflowClient).execute(OrderWorkflow, 1)).resolves.toBe('order 1');
    // A later test module of the same process imports the dynamic module again.
    await closeApplications();
    const again = await bootApplication({ imports: [shared, FeatureModule], providers: [OrderWorkflow] });
    await expect(again.get(WorkflowClient).execute(OrderWorkflow, 2)).resolves.toBe('order 2');
  });

  it('are injected only where they are imported when isGlobal is false', async () => {
    @Module({ imports: [unnamed({}), billing({ isGlobal: false })], providers: [...providers, Reader], exports: [Reader] })
    class BillingModule {}
    const module = await bootApplication({ imports: [BillingModule] });
    await expect(module.get(Reader, { strict: false }).billing.execute(InvoiceWorkflow, 1)).resolves.toBe('invoice 1');
    await closeApplications();

    @Module({ imports: [billing({ isGlobal: false })] })
    class QuietModule {}
    const outside = bootApplication({ imports: [unnamed(), QuietModule], providers: [Reader] });
    await expect(outside).rejects.toThrow(/resolve dependencies of the Reader/);
    await closeApplications();

    const local = billing({ isGlobal: false });
    @Module({ imports: [local], exports: [local] })
    class ExportingModule {}
    const exported = await bootApplication({ imports: [unnamed(), ExportingModule], providers: [...providers, Reader] });
    await expect(exported.get(Reader).billing.execute(InvoiceWorkflow, 1)).resolves.toBe('invoice 1');
  });

  it.each<[string, unknown]>([
    ['default', 'default'],
    ['an empty string', ''],
    ['a number', 5],
  ])('refuse the name %s', (_, name) => {
    expect(() => WorkflowModule.forRoot({ name: name as string })).toThrow(/^name/);
  });
});
