import 'reflect-metadata';
import { Module, type Provider } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { WorkflowClient, WorkflowModule, type WorkerOptions } from 'nestjs-durable';
import { WORKFLOWS } from './workflows.js';

@Module({})
class BenchModule {}

export interface BenchApplication {
  readonly client: WorkflowClient;
  close(): Promise<void>;
}

/** The package as an application has it: a Nest context with the module and its workflows. */
export async function startApplication(
  url: string,
  worker: WorkerOptions = {},
  workflows: Provider[] = WORKFLOWS,
): Promise<BenchApplication> {
  // As in production: there no run is replayed at its end.
  const imports = [WorkflowModule.forRoot({ connection: { url }, worker: { verifyReplay: 'never', ...worker } })];
  const module = { module: BenchModule, imports, providers: workflows };
  const context = await NestFactory.createApplicationContext(module, { logger: ['error'], abortOnError: false });
  return { client: context.get(WorkflowClient), close: () => context.close() };
}
