import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import { DiscoveryService } from '@nestjs/core';

import { WorkflowConfigurationError } from '../core/errors/index.js';
import { BEGINS_WORKER, moduleLabel, modulesAmong, WORKFLOW_RUNTIME } from './tokens.js';

/**
 * Checks that each WorkflowModule is created only once, and by a class that starts its worker.
 *
 * If the options inject a request-scoped provider, Nest creates the whole module again for each
 * HTTP request. Each of these modules opens connections, but Nest calls none of their hooks. The
 * check is therefore a separate provider, whose hook Nest does call.
 */
@Injectable()
export class SingletonCheck implements OnModuleInit {
  constructor(@Inject(DiscoveryService) private readonly discovery: DiscoveryService) {}

  /**
   * Checks all WorkflowModules of the application.
   *
   * @throws WorkflowConfigurationError naming a module that was created in another way
   */
  onModuleInit(): void {
    for (const wrapper of this.discovery.getProviders()) {
      if (wrapper.token !== WORKFLOW_RUNTIME) continue;
      const [name] = modulesAmong(wrapper.host?.providers.keys() ?? []);
      const type = wrapper.host?.metatype as (Function & { readonly [BEGINS_WORKER]?: true }) | undefined;
      if (type && !type[BEGINS_WORKER]) {
        throw new WorkflowConfigurationError(
          `${moduleLabel(name)} was spread into module ${type.name}, which starts no worker: import the result of forRoot(), ` +
            `or let ${type.name} extend WorkflowModule`,
        );
      }
      if (wrapper.isDependencyTreeStatic()) continue;
      throw new WorkflowConfigurationError(
        `${moduleLabel(name)} depends on a request-scoped provider, most likely through what forRootAsync injects: its options are created once, ` +
          'so inject singletons only',
      );
    }
  }
}
