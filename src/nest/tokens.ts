import { Inject } from '@nestjs/common';

/** Strings and registered symbols, so that a second copy of the package (ESM beside CommonJS) means the same. */
export const WORKFLOW_OPTIONS = 'nestjs-durable:options';
export const WORKFLOW_RUNTIME = 'nestjs-durable:runtime';

/** The token of the WorkflowClient. */
export function getWorkflowClientToken(): string {
  return 'nestjs-durable:client';
}

/** Injects the WorkflowClient, also where two copies of the package have two classes of that name. */
export const InjectWorkflowClient = (): ParameterDecorator & PropertyDecorator => Inject(getWorkflowClientToken());
