/** A value of the API as it arrives: dates are ISO 8601 texts. */
export type Wire<T> = T extends string
  ? T
  : T extends Date
    ? string
    : T extends readonly (infer Member)[]
      ? Wire<Member>[]
      : T extends object
        ? { [Key in keyof T]: Wire<T[Key]> }
        : T;

/** An answer of the API that is not a success. */
export class ApiError extends Error {
  constructor(
    /** Status of the answer; 0 when there was no answer. */
    readonly status: number,
    message: string,
    readonly code?: string,
  ) {
    super(message);
  }
}

// The address of the page has no slash at its end, so addresses are relative to the folder above.
const BASE = 'dashboard/api/';

/** Reads from the API. The browser's cache revalidates earlier answers. */
export async function get<T>(path: string, signal?: AbortSignal): Promise<Wire<T>> {
  return request<T>(path, signal === undefined ? {} : { signal });
}

/** Changes something by the API. */
export async function post<T>(path: string, body: unknown): Promise<Wire<T>> {
  const headers = { 'content-type': 'application/json', 'x-durable-dashboard': '1' };
  return request<T>(path, { method: 'POST', headers, body: JSON.stringify(body) });
}

async function request<T>(path: string, init: RequestInit): Promise<Wire<T>> {
  let response: Response;
  try {
    response = await fetch(BASE + shortened(path), { credentials: 'same-origin', ...init });
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error;
    throw new ApiError(0, 'The application does not answer.');
  }
  const body = (await response.json().catch(() => undefined)) as { message?: unknown; code?: unknown } | undefined;
  if (response.ok && body !== undefined) return body as Wire<T>;
  const code = typeof body?.code === 'string' ? body.code : undefined;
  throw new ApiError(response.status, messageOf(response.status, body?.message), code);
}

/** Longest part of a path that every HTTP server accepts. */
const MAX_PART = 100;

/** Moves long parts of a path into the query, where they have a place of their own. */
export function shortened(path: string): string {
  const at = path.indexOf('?');
  const parts = (at === -1 ? path : path.slice(0, at)).split('/');
  const long = parts.flatMap((part, place) => (part.length > MAX_PART ? [`~${place}=${part}`] : []));
  if (long.length === 0) return path;
  const short = parts.map((part) => (part.length > MAX_PART ? '~' : part)).join('/');
  return `${short}?${[...long, ...(at === -1 ? [] : [path.slice(at + 1)])].join('&')}`;
}

function messageOf(status: number, message: unknown): string {
  if (typeof message === 'string') return message;
  if (status === 401 || status === 403) return 'You are not allowed to see this. Sign in again, and reload the page.';
  return `The application answered with status ${status}.`;
}

/** Returns the path of a run in the API. */
export function runPath(runId: string, rest = ''): string {
  return `runs/${segment(runId)}${rest}`;
}

/**
 * Encodes a text as one part of a path. Proxies decode `%2F`, and browsers resolve `..`, so a text
 * with unusual characters is sent as base64url.
 */
export function segment(text: string): string {
  if (/^[\w-][\w.:@-]*$/.test(text)) return text;
  const base64 = btoa(String.fromCharCode(...new TextEncoder().encode(text)));
  return `~${base64.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')}`;
}
