import type { ScopeOptions } from '@nestjs/common';

/** The key under which `@Injectable` leaves its options. */
const SCOPE_OPTIONS = 'scope:options';

/** Returns what `@Injectable`, on the class itself, says of its scope. */
export function injectableOptionsOf(target: Function): ScopeOptions | undefined {
  return Reflect.getOwnMetadata(SCOPE_OPTIONS, target) as ScopeOptions | undefined;
}
