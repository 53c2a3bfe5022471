import { auditOf } from '../audit.js';
import { EXIT } from '../exit-codes.js';
import type { Action } from '../action.js';

/** Starts a new run from another one. */
export const fork: Action = async ({ given, printer, connect }) => {
  const [runId = ''] = given.positionals;
  const fromStep = given.text('from-step');
  const { client } = await connect();
  const copy = await client.fork(runId, {
    ...auditOf(given),
    follow: !given.has('exact'),
    ...(fromStep === undefined ? {} : { fromStep }),
  });
  await printer.result(`Started run "${copy.runId}" from run "${runId}".`, { runId: copy.runId, forkedFrom: runId });
  return EXIT.ok;
};
