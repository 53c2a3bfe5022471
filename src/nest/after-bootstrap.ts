import type { ModulesContainer } from '@nestjs/core';

import { FirstToStopModule } from './first-to-stop.js';

interface Hooked {
  onApplicationBootstrap?: () => unknown;
}

/**
 * Runs a function at the end of the boot, after the last `onApplicationBootstrap` of the
 * application and as part of it. A failure of the function therefore fails the boot. Nest has no
 * hook for this, and does not report that the hook of a later module failed. However, Nest calls
 * the hooks module by module, the root's last, and the hook of a module's class after those of its
 * providers. The function therefore runs right after the hook of the last module's class.
 *
 * @param self the module whose own hook is being called
 * @param failed called when the last hook itself fails
 */
export async function afterBootstrap(
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

/**
 * Returns the module instance whose hooks are called last, among modules whose class is
 * instantiated once. The module nearest to the root wins; of two at the same distance, the later
 * one.
 */
function lastCalled(modules: ModulesContainer): Hooked | undefined {
  let last: { readonly distance: number; readonly instance: Hooked } | undefined;
  for (const module of modules.values()) {
    // The hook of FirstToStop runs after the root's, and never when the root's own hook fails.
    if (module.metatype === FirstToStopModule) continue;
    const host = module.getProviderByKey(module.metatype);
    if (!host?.isDependencyTreeStatic() || typeof host.instance !== 'object' || host.instance === null) continue;
    if (!last || module.distance <= last.distance) last = { distance: module.distance, instance: host.instance as Hooked };
  }
  return last?.instance;
}
