/** The levels of Nest's loggers. */
export type LogLevel = 'fatal' | 'error' | 'warn' | 'log' | 'debug' | 'verbose';

/** What a line of the log is about, for loggers that write JSON. */
export interface LogFields {
  readonly workflow?: string;
  readonly runId?: string;
  readonly sessionId?: string;
  readonly deploymentId?: string;
  readonly step?: string;
  readonly attempt?: number;
  readonly maxAttempts?: number;
  /** When the next attempt begins, as ISO 8601. */
  readonly nextAttemptAt?: string;
  readonly errorCode?: string;
}

/** The methods of Nest's `LoggerService`. */
export type RunLogger = { readonly [Level in LogLevel]: (message: unknown, ...optionalParams: unknown[]) => void };
