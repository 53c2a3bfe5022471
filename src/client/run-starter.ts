import { createHash } from 'node:crypto';

import type { PreparedStart, RunStarter } from '../engine/ports.js';
import { toNewRun, type StartOptions } from './start-options.js';

/** The longest id that is accepted. */
const MAX_ID_LENGTH = 255;

/** Makes the runs that workflows start, by the rules of `client.start`. */
export class ClientRunStarter implements RunStarter {
  constructor(private readonly limits: { readonly maxPayloadBytes: number; readonly deploymentId: string; readonly module: string | undefined }) {}

  check(workflow: unknown, options: StartOptions): PreparedStart {
    // Everything but the input is checked at the call.
    const { name } = toNewRun(workflow, undefined, options, this.limits);
    return { name, withInput: async (input) => toNewRun(workflow, input, options, this.limits) };
  }

  idFor(runId: string, stepKey: string): string {
    const id = `${runId}:${stepKey}`;
    return id.length <= MAX_ID_LENGTH ? id : createHash('sha256').update(id).digest('hex');
  }
}
