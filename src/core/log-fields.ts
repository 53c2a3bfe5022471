import type { WarningCode } from './warning-codes.js';

/** Log level of Nest's loggers. */
export type LogLevel = 'fatal' | 'error' | 'warn' | 'log' | 'debug' | 'verbose';

/** Ids and names that a log line is about, as fields for loggers that write JSON. */
export interface LogFields {
  readonly workflow?: string;
  readonly runId?: string;
  /** Name of the schedule. */
  readonly schedule?: string;
  readonly sessionId?: string;
  readonly deploymentId?: string;
  readonly step?: string;
  readonly attempt?: number;
  readonly maxAttempts?: number;
  /** Time of the next attempt, as ISO 8601. */
  readonly nextAttemptAt?: string;
  readonly errorCode?: string;
  /** Change that somebody has made by the dashboard, as the path of its request. */
  readonly change?: string;
  /** Name of the person who has made a change. */
  readonly actor?: string;
  /** Reason of a change. */
  readonly reason?: string;
  /** Number of runs, messages or other things that the line is about. */
  readonly count?: number;
}

/** Fields of a warning or an error. The code tells the reader what to look up. */
export interface CodedFields extends LogFields {
  readonly code: WarningCode;
}

/** Writes a warning with its code, the error that caused it, and fields. */
export type Warn = (code: WarningCode, message: string, error?: unknown, fields?: LogFields) => void;

/** Methods of Nest's `LoggerService`. */
export type RunLogger = { readonly [Level in LogLevel]: (message: unknown, ...optionalParams: unknown[]) => void };
