import type { LoggerService, ModuleMetadata, Provider } from '@nestjs/common';
import { Test, type TestingModule } from '@nestjs/testing';

import { WorkflowClient, WorkflowModule, type WorkflowModuleOptions } from '../../src/index.js';
import type { TestApplication } from './test-application.js';
import { closeable, closeLater } from './closing.js';
import { onePass } from './one-pass.js';
import { poolerOptions, reach } from './pooler.js';

export { closeLater } from './closing.js';
export type { TestApplication } from './test-application.js';

/** True when QStash drives the applications of this test run. */
export function isPushed(): boolean {
  return ['qstash', 'both'].includes(process.env['DURABLE_CONFORMANCE'] ?? 'poll');
}

const booting = new Set<Promise<unknown>>();

/**
 * Boots an application with these workflows. Its worker polls at short intervals, because tests
 * wait for it.
 *
 * @param others modules that the application imports before WorkflowModule
 */
export async function startApplication(
  url: string,
  providers: Provider[],
  options: Omit<WorkflowModuleOptions, 'connection'> = {},
  others: NonNullable<ModuleMetadata['imports']> = [],
): Promise<TestApplication> {
  // Not before: the emulator is no part of other tests.
  if (isPushed()) return (await import('./push-stage.js')).startOnStage(url, providers, options, others);
  const imports = [
    ...others,
    WorkflowModule.forRoot({
      ...options,
      worker: onePass(options.worker),
      connection: { url: await reach(url) },
      ...poolerOptions(url, options.listen),
    }),
  ];
  const module = await bootApplication({ imports, providers });
  const close = async (): Promise<void> => {
    closeable.delete(module);
    await module.close();
  };
  return { client: module.get(WorkflowClient), module, close };
}

/** Boots an application of any shape; `closeApplications` closes it, also when its boot fails. */
export function bootApplication(metadata: ModuleMetadata, logger?: LoggerService): Promise<TestingModule> {
  const boot = async (): Promise<TestingModule> => {
    const builder = Test.createTestingModule(metadata);
    const module = await (logger ? builder.setLogger(logger) : builder).compile();
    if (!logger) module.useLogger(process.env['DURABLE_TEST_LOG'] ? ['log', 'warn', 'error'] : false);
    closeLater(module);
    return module.init();
  };
  const booted = boot().finally(() => booting.delete(booted));
  booting.add(booted);
  return booted;
}

/** Closes what a test left open. A test whose time is over may still be booting an application. */
export async function closeApplications(): Promise<void> {
  await Promise.allSettled(booting);
  const applications = [...closeable];
  closeable.clear();
  await Promise.all(applications.map((application) => application.close()));
  if (isPushed()) await (await import('./push-stage.js')).closeStages();
}
