import type { DiscoveryService } from '@nestjs/core';

import { hasWorkflowMetadata, workflowIdentityOf } from '../../core/workflow-metadata.js';
import { classOf, declarationsOf } from '../decorators/step-declarations.js';

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
    const type = classOf(instance) ?? (typeof metatype === 'function' ? metatype : undefined);
    if (typeof type?.prototype !== 'object') return false;
    const isOurs = hasWorkflowMetadata(type) ? workflowIdentityOf(type).module === module : modules === 1;
    return isOurs && [...declarationsOf(type.prototype as object | null).values()].some(({ isTransactional }) => isTransactional);
  });
}
