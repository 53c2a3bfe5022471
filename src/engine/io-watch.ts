import { createHook, type AsyncHook } from 'node:async_hooks';

import { executionScope } from './current.js';

/** Types of asynchronous resources, as `async_hooks` names them, that are not I/O. */
const OWN = new Set(['PROMISE', 'TickObject', 'Microtask']);

const watches = new Map<object, IoWatch>();
let hook: AsyncHook | undefined;

/**
 * Detects if the workflow's code begins ordinary I/O, such as timers, requests and queries. Between
 * `begin` and `end`, every promise of the process costs more, because Node calls a hook for each
 * promise.
 */
export class IoWatch {
  private readonly resources: object[] = [];

  /** False in Bun and Deno, which accept `async_hooks` callbacks and never call them. */
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

  /** True when the code has begun I/O other than writing to the console. */
  get sawIo(): boolean {
    return this.resources.some((resource) => !isOfConsole((resource as { handle?: unknown }).handle));
  }
}

function isOfConsole(handle: unknown): boolean {
  if (handle === undefined) return false;
  return [process.stdout, process.stderr].some((stream) => (stream as { _handle?: unknown })._handle === handle);
}
