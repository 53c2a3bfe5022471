import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import { DiscoveryService } from '@nestjs/core';

import { WorkflowConfigurationError } from '../core/errors/index.js';
import { BEGINS_WORKER, moduleLabel, modulesAmong, WORKFLOW_RUNTIME } from './tokens.js';

/**
 * Sees that modules are made once, and by the class that begins their worker. Where something request-scoped is injected for the options, Nest makes all
 * of the module anew for each HTTP request, with its connections, and calls no hook of it; so the check has a provider of its own.
 */
@Injectable()
export class ScopeCheck implements OnModuleInit {
  constructor(@Inject(DiscoveryService) private readonly discovery: DiscoveryService) {}

  /** @throws WorkflowConfigurationError */
  onModuleInit(): void {
    for (const wrapper of this.discovery.getProviders()) {
      if (wrapper.token !== WORKFLOW_RUNTIME) continue;
      const [name] = modulesAmong(wrapper.host?.providers.keys() ?? []);
      const type = wrapper.host?.metatype as (Function & { readonly [BEGINS_WORKER]?: true }) | undefined;
      if (type && !type[BEGINS_WORKER]) {
        throw new WorkflowConfigurationError(
          `${moduleLabel(name)} was spread into module ${type.name}, which begins no worker: import what forRoot() returns, ` +
            `or let ${type.name} extend WorkflowModule`,
        );
      }
      if (wrapper.isDependencyTreeStatic()) continue;
      throw new WorkflowConfigurationError(
        `${moduleLabel(name)} depends on a request-scoped provider, most likely by what forRootAsync injects: its options are made once, ` +
          'so inject singletons only',
      );
    }
  }
}
