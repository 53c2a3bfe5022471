/**
 * Everything that `closeApplications` closes. A file of its own, because applications of every kind
 * register here and know nothing of each other.
 */
export const closeable = new Set<{ close(): Promise<unknown> }>();

/**
 * Registers a resource with `closeApplications`. Closing the resource earlier is harmless when it
 * may be closed twice.
 */
export function closeLater<T extends { close(): Promise<unknown> }>(application: T): T {
  closeable.add(application);
  return application;
}
