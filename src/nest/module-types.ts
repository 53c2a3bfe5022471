import type { InjectionToken, ModuleMetadata, OptionalFactoryDependency, Type } from '@nestjs/common';

import type { HttpOptions, HttpSettings } from './http-options.js';
import type { WorkflowModuleOptions, WorkflowModuleExtras } from './options.js';

/** The options that a factory gives: all but what is fixed when the module is defined. */
export interface WorkflowFactoryOptions extends WorkflowModuleOptions {
  /** Takes the place of the `http.publicUrl` beside the factory. */
  http?: Pick<HttpOptions, 'publicUrl'>;
}

/** Makes the module's options, for `useClass` and `useExisting`. */
export interface WorkflowOptionsFactory {
  createWorkflowOptions(): WorkflowFactoryOptions | Promise<WorkflowFactoryOptions>;
}

/** Where the options come from when they are not known while the module is defined. */
export interface WorkflowModuleAsyncOptions extends WorkflowModuleExtras, Pick<ModuleMetadata, 'imports'> {
  useFactory?: (...args: never[]) => WorkflowFactoryOptions | Promise<WorkflowFactoryOptions>;
  inject?: (InjectionToken | OptionalFactoryDependency)[];
  useClass?: Type<WorkflowOptionsFactory>;
  useExisting?: Type<WorkflowOptionsFactory>;
}

/** A module's structure, checked. */
export type ModuleStructure = {
  readonly [Key in Exclude<keyof WorkflowModuleExtras, 'http'>]: WorkflowModuleExtras[Key] | undefined;
} & { readonly http: HttpSettings };
