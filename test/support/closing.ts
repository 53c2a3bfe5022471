/** What `closeApplications` has to close; apart, because applications of every kind come here and know nothing of each other. */
export const closeable = new Set<{ close(): Promise<unknown> }>();

/** Has `closeApplications` close this as well; closing it before does no harm where closing twice does not. */
export function closeLater<T extends { close(): Promise<unknown> }>(application: T): T {
  closeable.add(application);
  return application;
}
