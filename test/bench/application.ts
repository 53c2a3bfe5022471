import 'reflect-metadata';
import { Module, type Provider } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { WorkflowClient, WorkflowModule, type QueueOptions, type RetentionOptions, type WorkerOptions } from 'nestjs-durable';
import { WORKFLOWS } from './workflows.js';

@Module({})
class BenchModule {}

export interface BenchApplication {
  readonly client: WorkflowClient;
  close(): Promise<void>;
}

/**
 * Starts the package as an application has it: a Nest context with the module and its workflows. As
 * in production, no run is replayed at its end.
 */
export function startApplication(url: string, worker: WorkerOptions = {}, workflows: Provider[] = WORKFLOWS): Promise<BenchApplication> {
  return startAsInstalled(url, { verifyReplay: 'never', ...worker }, workflows);
}

/** Starts the same with no option but the given ones. */
export function startAsInstalled(url: string, worker: WorkerOptions = {}, workflows: Provider[] = WORKFLOWS): Promise<BenchApplication> {
  return start(url, worker, workflows);
}

/** Starts an application that also deletes old runs. */
export function startWithRetention(url: string, worker: WorkerOptions, retention: RetentionOptions): Promise<BenchApplication> {
  return start(url, { verifyReplay: 'never', ...worker }, WORKFLOWS, { retention });
}

/** Starts an application with limits, which executes runs of its queues through the poller. */
export function startLimited(url: string, queues: Record<string, QueueOptions>, workflows: Provider[]): Promise<BenchApplication> {
  return start(url, { verifyReplay: 'never', eagerStart: false, queues: Object.keys(queues) }, workflows, { queues });
}

/** Starts an application that executes nothing. */
export function startClient(url: string): Promise<BenchApplication> {
  return start(url, false, WORKFLOWS);
}

async function start(
  url: string,
  worker: WorkerOptions | false,
  workflows: Provider[],
  more: { retention?: RetentionOptions; queues?: Record<string, QueueOptions> } = {},
): Promise<BenchApplication> {
  const imports = [WorkflowModule.forRoot({ connection: { url }, worker, ...more })];
  const module = { module: BenchModule, imports, providers: workflows };
  const context = await NestFactory.createApplicationContext(module, { logger: ['error'], abortOnError: false });
  return { client: context.get(WorkflowClient), close: () => context.close() };
}
