import type { ModulesContainer } from '@nestjs/core';

import { FirstToStopModule } from './first-to-stop.js';

interface Hooked {
  onApplicationBootstrap?: () => unknown;
}

/**
 * Runs a function as the last part of the boot, after the last `onApplicationBootstrap` hook of the
 * application. A failure of the function therefore fails the boot.
 *
 * Nest has no hook for the end of the boot, and does not report that the hook of a later module
 * failed. However, Nest calls the hooks module by module, and those of the root module last. In
 * each module, Nest calls the hook of the module class after the hooks of the providers. The
 * function therefore runs right after the hook of the last module class.
 *
 * @param self module whose own hook is being called
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
 * Returns the module instance whose hook Nest calls last. This is the module nearest to the root.
 * If two modules have the same distance to the root, it is the later one. Skips a module class that
 * has no single shared instance.
 */
function lastCalled(modules: ModulesContainer): Hooked | undefined {
  let last: { readonly distance: number; readonly instance: Hooked } | undefined;
  for (const module of modules.values()) {
    // Skip FirstToStopModule. Its hook runs after the root module's hook, and does not run at all
    // if the root module's hook fails.
    if (module.metatype === FirstToStopModule) continue;
    const host = module.getProviderByKey(module.metatype);
    if (!host?.isDependencyTreeStatic() || typeof host.instance !== 'object' || host.instance === null) continue;
    if (!last || module.distance <= last.distance) last = { distance: module.distance, instance: host.instance as Hooked };
  }
  return last?.instance;
}
