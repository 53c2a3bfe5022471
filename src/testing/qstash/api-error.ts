/** Error that refuses a request, with the status code that QStash would answer. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly headers: Readonly<Record<string, string>> = {},
  ) {
    super(message);
  }
}

export function badRequest(message: string): ApiError {
  return new ApiError(400, message);
}

export function notFound(what: string): ApiError {
  return new ApiError(404, `${what} not found`);
}
