import { auditOf } from '../audit.js';
import { EXIT } from '../exit-codes.js';
import { checkActive, readNamedRun } from '../named-run.js';
import { singleOrMany } from '../single-or-many.js';
import type { Action } from '../action.js';

/** Asks a run, or all runs of a filter, to stop. */
export const cancel: Action = (context) =>
  singleOrMany(context, { operation: 'cancel', inWords: (runs) => `This asks ${runs} to stop` }, async (runId, connection) => {
    const { given, printer } = context;
    const run = await readNamedRun(connection, runId);
    // client.cancel ignores an ended run, so that programs may repeat the call. A person must learn
    // that the run cannot stop any more.
    checkActive(run);
    if (given.has('dry-run')) {
      await printer.result(`Would ask ${run.inWords} to stop. Nothing was changed.`, { dryRun: true, runId });
      return EXIT.ok;
    }
    await connection.client.cancel(runId, auditOf(given));
    await printer.result(`Asked run "${runId}" to stop.`, { runId, requested: 'cancel' });
    return EXIT.ok;
  });
