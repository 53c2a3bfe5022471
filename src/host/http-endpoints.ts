/** The addresses of the module's HTTP endpoints. */
export interface HttpEndpoints {
  /** The common path of the endpoints, without slashes around it. */
  readonly path: string;
  /** True when the endpoint for QStash is open wherever the transport needs it. */
  readonly qstash: boolean;
  /** The application's address without a slash at its end; empty when it is not known. */
  readonly publicUrl: string;
}

/** The URL that calls a hook; only its path when the public URL is not known. */
export function hookUrl({ path, publicUrl }: HttpEndpoints, token: string): string {
  return `${publicUrl}/${path}/hooks/${encodeURIComponent(token)}`;
}
