import { Module } from '@nestjs/common';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { Workflow, WorkflowClient, WorkflowConfigurationError, WorkflowModule } from '../../src/index.js';
import { bootApplication, closeApplications } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';

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

  it('does not boot with what forRoot() returns spread into another module, which an extending one may do', async () => {
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

  it('does not boot when it is imported without its options, beside forRoot() or not', async () => {
    for (const imports of [[WorkflowModule], [WorkflowModule.forRoot({ connection: { url: database.url } }), WorkflowModule]]) {
      const booting = bootApplication({ imports });
      await expect(booting).rejects.toThrow(/WorkflowModule\.forRoot/);
      await expect(booting).rejects.toBeInstanceOf(WorkflowConfigurationError);
    }
  });
});
