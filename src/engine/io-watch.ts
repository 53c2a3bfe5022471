import { createHook, type AsyncHook } from 'node:async_hooks';

import { executionScope } from './current.js';

/** Types of resources that do not wait for anything outside the process. */
const OWN = new Set(['PROMISE', 'TickObject', 'Microtask']);

const watches = new Map<object, IoWatch>();
let hook: AsyncHook | undefined;

/**
 * Detects if the code of a pass begins ordinary I/O: timers, requests, queries. While it is on,
 * every promise of the process costs more.
 */
export class IoWatch {
  private readonly resources: object[] = [];

  /** False in Bun and Deno, which accept hooks and never call them. */
  readonly isReliable = !('bun' in process.versions) && !('deno' in process.versions);

  begin(pass: object): void {
    if (!this.isReliable) return;
    hook ??= createHook({
      init: (_, type, __, resource) => {
        if (OWN.has(type)) return;
        const scope = executionScope.getStore();
        if (scope && !scope.step) watches.get(scope.pass)?.resources.push(resource);
      },
    });
    if (watches.size === 0) hook.enable();
    watches.set(pass, this);
  }

  end(pass: object): void {
    if (watches.delete(pass) && watches.size === 0) hook?.disable();
  }

  /** True when the code has begun I/O other than lines written to the console. */
  get sawIo(): boolean {
    return this.resources.some((resource) => !isOfConsole((resource as { handle?: unknown }).handle));
  }
}

function isOfConsole(handle: unknown): boolean {
  if (handle === undefined) return false;
  return [process.stdout, process.stderr].some((stream) => (stream as { _handle?: unknown })._handle === handle);
}
