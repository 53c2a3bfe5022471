import { createHash } from 'node:crypto';

import { buildIdentity, type ProcessInfo } from './build-identity.js';

const ID_DIGITS = 16;

/**
 * Deployment of the application. Its id is the configured one, or is derived from the files of the
 * application.
 */
export class Deployment {
  private current: string;
  /** True when the id is configured or derived from files, so that a new build has another id. */
  readonly isKnown: boolean;

  constructor(configured: string | undefined, processInfo: ProcessInfo = here()) {
    const identity = configured ?? buildIdentity(processInfo)?.slice(0, ID_DIGITS);
    this.isKnown = identity !== undefined;
    this.current = identity ?? digest([]);
  }

  get id(): string {
    return this.current;
  }

  /**
   * Derives the id from the source text of the workflow classes, if the id is neither configured
   * nor derived from files.
   */
  foundWorkflows(sources: readonly string[]): void {
    if (!this.isKnown) this.current = digest(sources);
  }
}

function digest(sources: readonly string[]): string {
  const hash = createHash('sha256');
  for (const source of sources.toSorted()) hash.update(source).update('\0');
  return hash.digest('hex').slice(0, ID_DIGITS);
}

function here(): ProcessInfo {
  const { argv, execPath, env } = process;
  return { argv, execPath, env, cwd: process.cwd() };
}
