import type { DiscoveryService } from '@nestjs/core';

import { hasWorkflowMetadata, workflowIdentityOf } from '../../core/workflow-metadata.js';
import { declarationsOf } from '../decorators/step-declarations.js';

/**
 * Returns true when a step that the module may execute is transactional. Steps of a workflow belong
 * to the module of that workflow. A step of another injectable may belong to any module, so it
 * counts only when the application has one module.
 *
 * @param module name of the module
 * @param modules number of modules in the application
 */
export function hasTransactionalSteps(discovery: DiscoveryService, module: string | undefined, modules: number): boolean {
  return discovery.getProviders().some(({ metatype, instance }) => {
    // Reads the prototype of the class. An instance may be a proxy, and reading it may fail.
    const type = typeof metatype === 'function' && typeof metatype.prototype === 'object' ? metatype : classOf(instance);
    if (!type) return false;
    const isOurs = hasWorkflowMetadata(type) ? workflowIdentityOf(type).module === module : modules === 1;
    return isOurs && [...declarationsOf(type.prototype as object).values()].some(({ isTransactional }) => isTransactional);
  });
}

function classOf(instance: unknown): Function | undefined {
  if (typeof instance !== 'object' || instance === null) return undefined;
  const prototype = Object.getPrototypeOf(instance) as { constructor?: unknown } | null;
  return typeof prototype?.constructor === 'function' ? prototype.constructor : undefined;
}
