import { Inject, Injectable, Module } from '@nestjs/common';
import { jest, afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { DataSource } from 'typeorm';

import { Workflow, WorkflowClient, WorkflowConfigurationError, WorkflowModule } from '../../../src/index.js';
import { bootApplication, closeApplications } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';

@Workflow({ name: 'greet' })
class GreetWorkflow {
  async run(): Promise<string> {
    return 'hello';
  }
}

describe('WorkflowModule', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(closeApplications);
  afterAll(() => database.drop());

  it('does not boot when the result of forRoot() is spread into a module that does not extend it', async () => {
    @Module({})
    class Own {}
    const spread = { ...WorkflowModule.forRoot({ connection: { url: database.url }, worker: {} }), module: Own };
    const booting = bootApplication({ imports: [spread], providers: [GreetWorkflow] });
    await expect(booting).rejects.toThrow(/spread into module Own.*extend WorkflowModule/);
    await expect(booting).rejects.toBeInstanceOf(WorkflowConfigurationError);
    class Extending extends WorkflowModule {}
    const module = await bootApplication({ imports: [{ ...spread, module: Extending }], providers: [GreetWorkflow] });
    await expect(module.get(WorkflowClient).execute(GreetWorkflow)).resolves.toBe('hello');
  });

  it('does not boot when its class is imported without forRoot(), alone or beside a forRoot()', async () => {
    for (const imports of [[WorkflowModule], [WorkflowModule.forRoot({ connection: { url: database.url } }), WorkflowModule]]) {
      const booting = bootApplication({ imports });
      await expect(booting).rejects.toThrow(/WorkflowModule\.forRoot/);
      await expect(booting).rejects.toBeInstanceOf(WorkflowConfigurationError);
    }
  });

  it('does not use DATABASE_URL when the DataSource comes from another copy of typeorm', async () => {
    process.env['DATABASE_URL'] = database.url;
    try {
      // Stands for the class under which another copy of @nestjs/typeorm provides its DataSource.
      class DataSourceOfOtherCopy extends DataSource {}
      for (const name of Object.getOwnPropertyNames(DataSource.prototype)) {
        const descriptor = Object.getOwnPropertyDescriptor(DataSource.prototype, name)!;
        if (name !== 'constructor') Object.defineProperty(DataSourceOfOtherCopy.prototype, name, descriptor);
      }
      const other = { provide: DataSourceOfOtherCopy, useFactory: () => new DataSourceOfOtherCopy({ type: 'postgres' }) };
      const booting = bootApplication({ imports: [WorkflowModule.forRoot({ worker: {} })], providers: [other] });
      await expect(booting).rejects.toThrow(/another copy.*npm ls typeorm.*connection: \{ url \}/);
      await expect(booting).rejects.toBeInstanceOf(WorkflowConfigurationError);
      const named = WorkflowModule.forRoot({ worker: {}, connection: { url: database.url } });
      await bootApplication({ imports: [named], providers: [other] });
    } finally {
      delete process.env['DATABASE_URL'];
    }
  });

  it('injects its client by the class of another copy of the package', async () => {
    jest.resetModules();
    const copy = await import('../../../src/index.js');
    expect(copy.WorkflowClient).not.toBe(WorkflowClient);
    @Injectable()
    class LibraryService {
      constructor(@Inject(copy.WorkflowClient) readonly client: WorkflowClient) {}
    }
    const imports = [WorkflowModule.forRoot({ worker: {}, connection: { url: database.url } })];
    const module = await bootApplication({ imports, providers: [LibraryService] });
    expect(module.get(LibraryService).client).toBe(module.get(WorkflowClient));
  });
});
