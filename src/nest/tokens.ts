import { Inject, type InjectionToken, type Type } from '@nestjs/common';
import { getRepositoryToken } from '@nestjs/typeorm';

import { WorkflowConfigurationError } from '../core/errors/index.js';
import { checkText } from '../core/ids.js';

// Strings, so that a second copy of the package (ESM beside CommonJS) means the same.
const PREFIX = 'nestjs-durable';
const CLIENT = ':client';

/** The options of the module without a name: override it in tests. Another module's: `getWorkflowOptionsToken(name)`. */
export const WORKFLOW_OPTIONS = 'nestjs-durable:options';

/** Each module has its own, and none exports it. */
export const WORKFLOW_RUNTIME = 'nestjs-durable:runtime';

/** Marks the module class whose life-cycle hooks begin and stop the worker. */
export const BEGINS_WORKER = Symbol.for('nestjs-durable.begins-worker');

/** Each module with an endpoint for hooks has its own, and none exports it. */
export const HOOK_RECEIVER = 'nestjs-durable:hook-receiver';

/**
 * The token of a module's options.
 *
 * @param name the module's name; absent: the one without a name
 * @example Test.createTestingModule({ imports: [AppModule] }).overrideProvider(getWorkflowOptionsToken('billing')).useValue({ worker: false })
 */
export function getWorkflowOptionsToken(name?: string): string {
  return name === undefined ? WORKFLOW_OPTIONS : tokenOf(name, 'options');
}

/**
 * The token of a module's WorkflowClient.
 *
 * @param name the module's name; absent: the one without a name
 */
export function getWorkflowClientToken(name?: string): string {
  return name === undefined ? `${PREFIX}${CLIENT}` : tokenOf(name, 'client');
}

/**
 * The token of a repository of one of the module's entities. Without a name it is the one that `@InjectRepository(entity)` of @nestjs/typeorm takes.
 *
 * @param entity such as WorkflowRun
 * @param name the module's name; absent: the one without a name
 */
export function getWorkflowRepositoryToken(entity: Type, name?: string): InjectionToken {
  return name === undefined ? (getRepositoryToken(entity) as InjectionToken) : tokenOf(name, `repository:${entity.name}`);
}

/**
 * Injects a module's WorkflowClient; that of the module without a name also where two copies of the package have two classes of that name.
 *
 * @param name the module's name; absent: the one without a name
 * @example constructor(@InjectWorkflowClient('billing') private readonly billing: WorkflowClient) {}
 */
export const InjectWorkflowClient = (name?: string): ParameterDecorator & PropertyDecorator => Inject(getWorkflowClientToken(name));

/**
 * Injects a repository of one of the module's entities.
 *
 * @param entity such as WorkflowRun
 * @param name the module's name; absent: the one without a name
 * @example constructor(@InjectWorkflowRepository(WorkflowRun, 'billing') private readonly runs: Repository<WorkflowRun>) {}
 */
export const InjectWorkflowRepository = (entity: Type, name?: string): ParameterDecorator & PropertyDecorator =>
  Inject(getWorkflowRepositoryToken(entity, name));

/**
 * @returns the name, when modules can be called so
 * @throws WorkflowConfigurationError
 */
export function checkModuleName(name: unknown, where: string): string {
  const text = checkText(name, where);
  if (text === 'default') throw new WorkflowConfigurationError(`${where}: 'default' is the module without a name: leave it out`);
  return text;
}

/** How messages call a module. */
export function moduleLabel(name: string | undefined): string {
  return name === undefined ? 'WorkflowModule' : `WorkflowModule "${name}"`;
}

/** The names of the modules whose clients are among these tokens, each as often as it is. */
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
