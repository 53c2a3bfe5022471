import type { InjectionToken, ModuleMetadata, OptionalFactoryDependency, Type } from '@nestjs/common';

import type { HttpOptions, HttpSettings } from './http-options.js';
import type { WorkflowModuleOptions, WorkflowModuleExtras } from './options.js';

/** Options that a factory returns: all options except those fixed when the module is defined. */
export interface WorkflowFactoryOptions extends WorkflowModuleOptions {
  /**
   * HTTP options that the factory returns. The `publicUrl` here replaces the one in the `http`
   * option that is passed beside the factory. (default: the `http` option beside the factory)
   */
  http?: Pick<HttpOptions, 'publicUrl'>;
}

/** Class that creates the module's options, for `useClass` and `useExisting`. */
export interface WorkflowOptionsFactory {
  /** Returns the options of the module. */
  createWorkflowOptions(): WorkflowFactoryOptions | Promise<WorkflowFactoryOptions>;
}

/**
 * Options of `forRootAsync`, for an application that does not know its options yet when the module
 * is defined. `useFactory`, `useClass` or `useExisting` supplies them.
 */
export interface WorkflowModuleAsyncOptions extends WorkflowModuleExtras, Pick<ModuleMetadata, 'imports'> {
  /**
   * Returns the options of the module. Receives the providers of `inject` as arguments. (default:
   * none)
   */
  useFactory?: (...args: never[]) => WorkflowFactoryOptions | Promise<WorkflowFactoryOptions>;
  /** Tokens of the providers that `useFactory` receives. (default: none) */
  inject?: (InjectionToken | OptionalFactoryDependency)[];
  /**
   * Class that creates the options. Nest creates an instance of it for this module. (default: none)
   */
  useClass?: Type<WorkflowOptionsFactory>;
  /** Class of an existing provider that creates the options. (default: none) */
  useExisting?: Type<WorkflowOptionsFactory>;
}

/** Checked structure of a module: the options that are fixed when the module is defined. */
export type ModuleStructure = {
  readonly [Key in Exclude<keyof WorkflowModuleExtras, 'http'>]: WorkflowModuleExtras[Key] | undefined;
} & { readonly http: HttpSettings };
