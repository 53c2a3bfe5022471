import { Inject, type InjectionToken, type Type } from '@nestjs/common';
import { getRepositoryToken } from '@nestjs/typeorm';

import { WorkflowConfigurationError } from '../core/errors/index.js';
import { checkText } from '../core/ids.js';

// Tokens are strings, so that a second copy of the package (ESM beside CommonJS) uses the same
// ones.
const PREFIX = 'nestjs-durable';
const CLIENT = ':client';

/**
 * Token of the options of the module without a name. Tests may override its provider.
 * `getWorkflowOptionsToken(name)` returns the token of another module.
 */
export const WORKFLOW_OPTIONS = 'nestjs-durable:options';

/** Token of a module's runtime. Each module provides its own, and no module exports it. */
export const WORKFLOW_RUNTIME = 'nestjs-durable:runtime';

/**
 * Key of the static property that marks module classes whose life-cycle hooks start and stop the
 * worker.
 */
export const BEGINS_WORKER = Symbol.for('nestjs-durable.begins-worker');

/**
 * Token of a module's hook receiver. Each module with an endpoint for hooks provides its own, and
 * no module exports it.
 */
export const HOOK_RECEIVER = 'nestjs-durable:hook-receiver';

/**
 * Token of the provider that answers requests for metrics. Each module with an endpoint for metrics
 * provides its own, and no module exports it.
 */
export const METRICS_HANDLER = 'nestjs-durable:metrics-handler';

/**
 * Token of a module's handler for requests to streams. Each module with an endpoint for streams
 * provides its own, and no module exports it.
 */
export const STREAM_ENDPOINT = 'nestjs-durable:stream-endpoint';

/**
 * Token of a module's handler for requests to the dashboard. Each module with a dashboard provides
 * its own, and no module exports it.
 */
export const DASHBOARD_HANDLER = 'nestjs-durable:dashboard-handler';

/**
 * Returns the token of a module's options.
 *
 * @param name the module's name (default: the module without a name)
 * @throws InvalidInputError, WorkflowConfigurationError when a module cannot have this name
 * @example
 * Test.createTestingModule({ imports: [AppModule] })
 *   .overrideProvider(getWorkflowOptionsToken('billing'))
 *   .useValue({ worker: false })
 */
export function getWorkflowOptionsToken(name?: string): string {
  return name === undefined ? WORKFLOW_OPTIONS : tokenOf(name, 'options');
}

/**
 * Returns the token of a module's WorkflowClient.
 *
 * @param name the module's name (default: the module without a name)
 * @throws InvalidInputError, WorkflowConfigurationError when a module cannot have this name
 * @example moduleRef.get<WorkflowClient>(getWorkflowClientToken('billing'))
 */
export function getWorkflowClientToken(name?: string): string {
  return name === undefined ? `${PREFIX}${CLIENT}` : tokenOf(name, 'client');
}

/**
 * Returns the token of a module's DurableHealthIndicator. In the module without a name, the class
 * is a token too.
 *
 * @param name the module's name (default: the module without a name)
 * @throws InvalidInputError, WorkflowConfigurationError when a module cannot have this name
 * @example
 * constructor(
 *   @Inject(getWorkflowHealthIndicatorToken('billing'))
 *   private readonly billing: DurableHealthIndicator,
 * ) {}
 */
export function getWorkflowHealthIndicatorToken(name?: string): string {
  return name === undefined ? `${PREFIX}:health` : tokenOf(name, 'health');
}

/**
 * Returns the token of a repository of one of the module's entities. For the module without a name,
 * the token is the one that `@InjectRepository(entity)` of @nestjs/typeorm uses.
 *
 * @param entity the entity, such as WorkflowRun
 * @param name the module's name (default: the module without a name)
 * @throws InvalidInputError, WorkflowConfigurationError when a module cannot have this name
 * @example moduleRef.get<Repository<WorkflowRun>>(getWorkflowRepositoryToken(WorkflowRun))
 */
export function getWorkflowRepositoryToken(entity: Type, name?: string): InjectionToken {
  return name === undefined ? (getRepositoryToken(entity) as InjectionToken) : tokenOf(name, `repository:${entity.name}`);
}

/**
 * Injects a module's WorkflowClient. Use it also for the module without a name when two copies of
 * the package define two classes WorkflowClient.
 *
 * @param name the module's name (default: the module without a name)
 * @throws InvalidInputError, WorkflowConfigurationError when a module cannot have this name
 * @example
 * constructor(@InjectWorkflowClient('billing') private readonly billing: WorkflowClient) {}
 */
export const InjectWorkflowClient = (name?: string): ParameterDecorator & PropertyDecorator => Inject(getWorkflowClientToken(name));

/**
 * Injects a repository of one of the module's entities.
 *
 * @param entity the entity, such as WorkflowRun
 * @param name the module's name (default: the module without a name)
 * @throws InvalidInputError, WorkflowConfigurationError when a module cannot have this name
 * @example
 * constructor(
 *   @InjectWorkflowRepository(WorkflowRun, 'billing')
 *   private readonly runs: Repository<WorkflowRun>,
 * ) {}
 */
export const InjectWorkflowRepository = (entity: Type, name?: string): ParameterDecorator & PropertyDecorator =>
  Inject(getWorkflowRepositoryToken(entity, name));

/**
 * Checks the name of a module.
 *
 * @param where the argument or option that contains the name, for error messages
 * @returns the name
 * @throws InvalidInputError, WorkflowConfigurationError when a module cannot have this name
 */
export function checkModuleName(name: unknown, where: string): string {
  const text = checkText(name, where);
  if (text === 'default') throw new WorkflowConfigurationError(`${where}: 'default' is the module without a name: leave it out`);
  return text;
}

/** Returns the label of a module for texts of errors and logs. */
export function moduleLabel(name: string | undefined): string {
  return name === undefined ? 'WorkflowModule' : `WorkflowModule "${name}"`;
}

/**
 * Returns the names of the modules whose client tokens are in the list. A name is repeated if its
 * token is repeated.
 */
export function modulesAmong(tokens: Iterable<unknown>): (string | undefined)[] {
  const names: (string | undefined)[] = [];
  for (const token of tokens) {
    if (token === getWorkflowClientToken()) names.push(undefined);
    else if (typeof token === 'string' && token.startsWith(`${PREFIX}:`) && token.endsWith(CLIENT)) {
      names.push(token.slice(PREFIX.length + 1, -CLIENT.length));
    }
  }
  return names;
}

function tokenOf(name: string, what: string): string {
  return `${PREFIX}:${checkModuleName(name, 'name')}:${what}`;
}
