import type { LoggerService, ModuleMetadata, Provider } from '@nestjs/common';
import { Test, type TestingModule } from '@nestjs/testing';

import { WorkflowClient, WorkflowModule, type WorkflowModuleOptions } from '../../src/index.js';
import { poolerOptions, reach } from './pooler.js';

/** A Nest application context with a worker, on a database of a test. */
export interface TestApplication {
  readonly client: WorkflowClient;
  readonly module: TestingModule;
  close(): Promise<void>;
}

const open = new Set<TestApplication>();

/** Boots an application with these workflows. Its worker is quick to notice things, because tests wait for them. */
export async function startApplication(
  url: string,
  providers: Provider[],
  options: Omit<WorkflowModuleOptions, 'connection'> = {},
): Promise<TestApplication> {
  const module = await Test.createTestingModule({
    imports: [
      WorkflowModule.forRoot({ worker: {}, ...options, connection: { url: await reach(url) }, ...poolerOptions(url, options.listen) }),
    ],
    providers,
  }).compile();
  module.useLogger(process.env['DURABLE_TEST_LOG'] ? ['log', 'warn', 'error'] : false);
  await module.init();
  const application: TestApplication = {
    client: module.get(WorkflowClient),
    module,
    close: async () => {
      open.delete(application);
      await module.close();
    },
  };
  open.add(application);
  return application;
}

/** Closes what a test left open. */
export async function closeApplications(): Promise<void> {
  const others = [...closeable];
  closeable.clear();
  await Promise.all([...open, ...others].map((application) => application.close()));
}

/** Boots an application of any shape; `closeApplications` closes it, also when its boot fails. */
export async function bootApplication(metadata: ModuleMetadata, logger?: LoggerService): Promise<TestingModule> {
  const builder = Test.createTestingModule(metadata);
  const module = await (logger ? builder.setLogger(logger) : builder).compile();
  if (!logger) module.useLogger(process.env['DURABLE_TEST_LOG'] ? ['log', 'warn', 'error'] : false);
  closeLater(module);
  await module.init();
  return module;
}

const closeable = new Set<{ close(): Promise<unknown> }>();

/** Has `closeApplications` close this as well; closing it before does no harm where closing twice does not. */
export function closeLater<T extends { close(): Promise<unknown> }>(application: T): T {
  closeable.add(application);
  return application;
}
