import { auditOf } from '../audit.js';
import { EXIT } from '../exit-codes.js';
import type { Action } from '../action.js';

/** Pauses a run. */
export const pause: Action = async ({ given, printer, connect }) => {
  const [runId = ''] = given.positionals;
  const { client } = await connect();
  await client.pause(runId, auditOf(given));
  await printer.result(`Asked run "${runId}" to pause.`, { runId, requested: 'pause' });
  return EXIT.ok;
};

/** Resumes a paused run, or makes a blocked run due again. */
export const resume: Action = async ({ given, printer, connect }) => {
  const [runId = ''] = given.positionals;
  const { client } = await connect();
  await client.resume(runId, auditOf(given));
  const status = await client.status(runId);
  await printer.result(`Resumed run "${runId}": it is ${status}.`, { runId, status });
  return EXIT.ok;
};
