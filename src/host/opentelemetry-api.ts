/** The package `@opentelemetry/api`, which is an optional peer. */
export type OpenTelemetryApi = typeof import('@opentelemetry/api');

/** Loads the API. @returns undefined when the package is not installed */
export async function loadOpenTelemetryApi(): Promise<OpenTelemetryApi | undefined> {
  try {
    return await import('@opentelemetry/api');
  } catch {
    return undefined;
  }
}
