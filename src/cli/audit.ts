import { userInfo } from 'node:os';

import type { AuditOptions } from '../client/control/control-options.js';
import type { Given } from './arguments.js';

/** Returns who changes a run, and why. Without `--actor`, the user of the operating system. */
export function auditOf(given: Given): AuditOptions {
  const actor = given.text('actor') ?? userName();
  const reason = given.text('reason');
  return { ...(actor === undefined ? {} : { actor }), ...(reason === undefined ? {} : { reason }) };
}

function userName(): string | undefined {
  try {
    return userInfo().username || undefined;
  } catch {
    // A container may execute the process as a user without an entry in /etc/passwd.
    return undefined;
  }
}
