import { createHash } from 'node:crypto';

import type { Payloads } from '../core/payloads.js';
import { Arguments } from '../core/serializer/arguments.js';
import { validate } from '../core/standard-schema.js';
import type { PreparedStart, RunStarter } from '../engine/run-starter.js';
import { checkStart, toNewRun, type StartingClient, type StartOptions } from './start-options.js';

/** Maximum length of a run id, as for `client.start`. A longer id is replaced by its hash. */
const MAX_ID_LENGTH = 255;

/** Prepares the runs that workflows start. Checks the arguments as `client.start` does. */
export class ClientRunStarter implements RunStarter {
  constructor(
    private readonly payloads: Payloads,
    private readonly client: StartingClient,
  ) {}

  check(workflow: unknown, options: StartOptions): PreparedStart {
    const checked = checkStart(workflow, options, this.client);
    const withInput: PreparedStart['withInput'] = async (input) => {
      // The schema validates a copy, because validation may be asynchronous and the workflow may
      // change the input in the meantime.
      const value = checked.schema ? await validate(checked.schema, this.copyOf(input), 'input') : input;
      return toNewRun(checked, value, this.payloads, 'input');
    };
    return { name: checked.run.name, withInput };
  }

  private copyOf(input: unknown): unknown {
    return Arguments.of([input], this.payloads.maxBytes).fresh()[0];
  }

  idFor(runId: string, stepKey: string): string {
    const id = `${runId}:${stepKey}`;
    return id.length <= MAX_ID_LENGTH ? id : createHash('sha256').update(id).digest('hex');
  }
}
