import type { ModulesContainer } from '@nestjs/core';

import { FirstToStopModule } from './first-to-stop.js';

interface Hooked {
  onApplicationBootstrap?: () => unknown;
}

/**
 * Does something at the end of the boot: after the last `onApplicationBootstrap` of the application, and as a part of it, so that what fails here fails
 * the boot. Nest has no hook for it, and tells nobody when a later module's hook fails; but it calls the hooks module by module, the root's last, and
 * that of a module's own class after those of its providers. So it is that one which is followed.
 *
 * @param self the module whose own hook is being called
 * @param failed what is done when the last hook itself fails
 */
export async function atEndOfBoot(
  modules: ModulesContainer,
  self: object,
  begin: () => Promise<void>,
  failed: () => Promise<void>,
): Promise<void> {
  const last = lastCalled(modules);
  if (!last || last === self || !Object.isExtensible(last)) return begin();
  const own = Object.getOwnPropertyDescriptor(last, 'onApplicationBootstrap');
  const original = last.onApplicationBootstrap;
  const hook = async (): Promise<void> => {
    if (own) Object.defineProperty(last, 'onApplicationBootstrap', own);
    else delete last.onApplicationBootstrap;
    try {
      await original?.call(last);
    } catch (error) {
      await failed();
      throw error;
    }
    await begin();
  };
  Object.defineProperty(last, 'onApplicationBootstrap', { configurable: true, value: hook });
}

/** Of the modules whose class is instantiated once, the one whose hooks are called last: the nearest to the root, the later of two that are as near. */
function lastCalled(modules: ModulesContainer): Hooked | undefined {
  let last: { readonly distance: number; readonly instance: Hooked } | undefined;
  for (const module of modules.values()) {
    // FirstToStop's comes after the root, and is not reached when the root's own hook fails.
    if (module.metatype === FirstToStopModule) continue;
    const host = module.getProviderByKey(module.metatype);
    if (!host?.isDependencyTreeStatic() || typeof host.instance !== 'object' || host.instance === null) continue;
    if (!last || module.distance <= last.distance) last = { distance: module.distance, instance: host.instance as Hooked };
  }
  return last?.instance;
}
