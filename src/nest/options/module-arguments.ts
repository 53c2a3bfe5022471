import { checkNamedOptions, isPlainObject, keysOf } from '../../core/check-options.js';
import { InvalidInputError } from '../../core/errors/index.js';
import { checkText } from '../../core/ids.js';
import { checkHttp, completeHttp, FIXED_AT_DEFINITION, type HttpOptions, type HttpSettings } from './http-options.js';
import type { ModuleStructure, WorkflowFactoryOptions, WorkflowModuleAsyncOptions } from './module-types.js';
import type { WorkflowModuleOptions, WorkflowModuleExtras } from './options.js';
import { checkModuleName } from '../tokens.js';

const ASYNC_OPTIONS = ['imports', 'inject', 'useFactory', 'useClass', 'useExisting', 'name', 'isGlobal', 'dataSource', 'http'];

/**
 * Splits the arguments of `forRoot` into the structure of the module and a copy of the other
 * options. Checks the structure now. The other options are checked while the application boots.
 *
 * @throws InvalidInputError, WorkflowConfigurationError
 */
export function readOptions(options: WorkflowModuleExtras & WorkflowModuleOptions): {
  structure: ModuleStructure;
  rest: WorkflowModuleOptions;
} {
  if (!isPlainObject(options)) throw new InvalidInputError('options', 'must be an object');
  // Unknown keys are kept, so that the check at boot can name them. `__proto__` is removed, because
  // a copy cannot have such a key.
  const known = keysOf(options, 'options').filter((key) => key !== '__proto__');
  const { name, isGlobal, dataSource, http, ...rest } = checkNamedOptions<WorkflowModuleExtras & WorkflowModuleOptions>(
    options,
    'options',
    known,
  );
  return { structure: checkStructure({ name, isGlobal, dataSource, http }), rest };
}

/**
 * Checks the arguments of `forRootAsync`.
 *
 * @returns a copy of the arguments, with the checked structure of the module
 * @throws InvalidInputError, WorkflowConfigurationError
 */
export function checkAsyncOptions(options: WorkflowModuleAsyncOptions): WorkflowModuleAsyncOptions & { structure: ModuleStructure } {
  const given = checkNamedOptions(options, 'options', ASYNC_OPTIONS);
  for (const list of ['imports', 'inject'] as const) {
    if (given[list] !== undefined && !Array.isArray(given[list])) throw new InvalidInputError(list, 'must be an array');
  }
  for (const way of ['useFactory', 'useClass', 'useExisting'] as const) {
    if (given[way] !== undefined && typeof given[way] !== 'function')
      throw new InvalidInputError(way, `must be a ${way === 'useFactory' ? 'function' : 'class'}`);
  }
  return { ...given, structure: checkStructure(given) };
}

/**
 * Separates the options of the HTTP endpoints from the other options that a factory has returned.
 *
 * @param endpoints HTTP options that were set when the module was defined
 * @returns the options without `http`, and the complete HTTP options
 * @throws InvalidInputError naming an option that a factory cannot set
 */
export function takeHttp(given: WorkflowFactoryOptions, endpoints: HttpSettings): { options: WorkflowModuleOptions; http: HttpSettings } {
  if (!isPlainObject(given)) return { options: given, http: endpoints };
  for (const fixed of ['name', 'isGlobal', 'dataSource'])
    if (Object.hasOwn(given, fixed)) throw new InvalidInputError(fixed, FIXED_AT_DEFINITION);
  if (!Object.hasOwn(given, 'http')) return { options: given, http: endpoints };
  const { http, ...options } = checkNamedOptions<WorkflowFactoryOptions>(given, 'options', keysOf(given, 'options'));
  return { options, http: completeHttp(endpoints, http) };
}

function checkStructure({ name, isGlobal, dataSource, http }: { readonly [Key in keyof WorkflowModuleExtras]: unknown }): ModuleStructure {
  if (isGlobal !== undefined && typeof isGlobal !== 'boolean') throw new InvalidInputError('isGlobal', 'must be a boolean');
  return {
    name: name === undefined ? undefined : checkModuleName(name, 'name'),
    isGlobal,
    dataSource: dataSource === undefined ? undefined : checkText(dataSource, 'dataSource'),
    http: checkHttp(http as HttpOptions | undefined),
  };
}
