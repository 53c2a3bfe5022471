import type { Connection } from '../connection.js';

export type Level = 'ok' | 'warn' | 'error';

/** Result of a check. */
export interface Finding {
  readonly level: Level;
  /** Stable, upper-case identifier of the check's result. docs/cli.md lists all of them. */
  readonly code: string;
  /** One sentence about the state of the database. */
  readonly text: string;
  /** One sentence about what to do. Absent when there is nothing to do. */
  readonly remedy?: string;
}

/** A check of the database. */
export interface Check {
  /** Subject of the check, for the progress. */
  readonly subject: string;
  /** True for a check that reads the tables of the module, and so needs the schema. */
  readonly needsSchema: boolean;
  readonly run: (connection: Connection, schema: string) => Promise<Finding[]>;
}

export function ok(code: string, text: string): Finding {
  return { level: 'ok', code, text };
}

export function warn(code: string, text: string, remedy: string): Finding {
  return { level: 'warn', code, text, remedy };
}

export function error(code: string, text: string, remedy: string): Finding {
  return { level: 'error', code, text, remedy };
}
