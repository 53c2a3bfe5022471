import { pathOf } from './queue-name.js';

/** Key under which integrations of the kit keep the path below which they serve its routes. */
const BASE_PATH = Symbol.for('@workflow/core/basePath');

/**
 * Address of the kit's route that takes the messages of a queue.
 *
 * @param base address of the application. Its path is kept; without a path, the kit's own base path
 *   applies
 */
export function routeUrl(base: string, queue: string): string {
  const { origin, pathname } = new URL(base);
  const basePath = (globalThis as { [BASE_PATH]?: unknown })[BASE_PATH];
  const path = pathname.replace(/\/+$/, '') || (typeof basePath === 'string' ? basePath.replace(/\/+$/, '') : '');
  return `${origin}${path}${pathOf(queue)}`;
}
