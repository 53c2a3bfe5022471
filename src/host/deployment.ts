import { createHash } from 'node:crypto';

import { buildIdentity, type ProcessSurroundings } from './build-identity.js';

const DIGITS = 16;

/** The id that tells this deployment from others: the one that was configured, or one derived from the application's files. */
export class Deployment {
  private current: string;
  /** Whether a new build gets another id by itself. */
  readonly isKnown: boolean;

  constructor(configured: string | undefined, surroundings: ProcessSurroundings = here()) {
    const identity = configured ?? buildIdentity(surroundings)?.slice(0, DIGITS);
    this.isKnown = identity !== undefined;
    this.current = identity ?? digest([]);
  }

  get id(): string {
    return this.current;
  }

  /** Where nothing else tells builds apart, the text of the workflow classes does. */
  foundWorkflows(sources: readonly string[]): void {
    if (!this.isKnown) this.current = digest(sources);
  }
}

function digest(sources: readonly string[]): string {
  const hash = createHash('sha256');
  for (const source of sources.toSorted()) hash.update(source).update('\0');
  return hash.digest('hex').slice(0, DIGITS);
}

function here(): ProcessSurroundings {
  const { argv, execPath, env } = process;
  return { argv, execPath, env, cwd: process.cwd() };
}
