import type { ScopeOptions } from '@nestjs/common';

/** Metadata key under which `@Injectable` stores its options. */
const SCOPE_OPTIONS = 'scope:options';

/** Returns the scope options that `@Injectable` stored on the class itself. */
export function injectableOptionsOf(target: Function): ScopeOptions | undefined {
  return Reflect.getOwnMetadata(SCOPE_OPTIONS, target) as ScopeOptions | undefined;
}
