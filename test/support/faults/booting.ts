import { Global, Module, type LoggerService } from '@nestjs/common';
import type { TestingModule } from '@nestjs/testing';
import { getDataSourceToken } from '@nestjs/typeorm';

import { Workflow, WorkflowModule } from '../../../src/index.js';
import { bootApplication } from '../application.js';
import { waitFor } from '../wait.js';

@Workflow({ name: 'greet' })
export class GreetWorkflow {
  async run(name: string): Promise<string> {
    return `hello ${name}`;
  }
}

export interface Boot {
  /** The application, or the error with which its boot ended. */
  readonly outcome: Promise<TestingModule | Error>;
  /** Resolves when the module has warned that its database is away. */
  readonly warned: (pattern: RegExp) => Promise<unknown>;
}

/** Boots an application with a worker, whose boot waits so long for the database at `url`. */
export function bootAt(url: string, patienceMs: number): Boot {
  const options = { type: 'postgres', url, retryAttempts: 1, retryDelay: patienceMs };
  @Global()
  @Module({ providers: [{ provide: getDataSourceToken(), useValue: { options } }], exports: [getDataSourceToken()] })
  class SettingsModule {}
  const warnings: string[] = [];
  const logger: LoggerService = { log: () => undefined, error: () => undefined, warn: (line: unknown) => void warnings.push(String(line)) };
  const imports = [SettingsModule, WorkflowModule.forRoot({ worker: {} })];
  const outcome = bootApplication({ imports, providers: [GreetWorkflow] }, logger).catch((error: Error) => error);
  const warned = (pattern: RegExp): Promise<unknown> =>
    waitFor(() => warnings.some((line) => pattern.test(line)), {
      timeoutMs: 40_000,
      message: () => `a warning like ${String(pattern)} among ${JSON.stringify(warnings)}`,
    });
  return { outcome, warned };
}
