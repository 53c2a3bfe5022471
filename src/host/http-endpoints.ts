/** Addresses of the module's HTTP endpoints. */
export interface HttpEndpoints {
  /** Path with which all endpoints begin, without a slash at either end. */
  readonly path: string;
  /**
   * True when the endpoint for QStash may be opened. It is opened only if the option `transport`
   * includes QStash.
   */
  readonly qstash: boolean;
  /**
   * Public address of the application, without a slash at its end; empty when it is not configured.
   */
  readonly publicUrl: string;
}

/** Returns the URL that calls a hook; only its path when the public address is not configured. */
export function hookUrl({ path, publicUrl }: HttpEndpoints, token: string): string {
  return `${publicUrl}/${path}/hooks/${encodeURIComponent(token)}`;
}
