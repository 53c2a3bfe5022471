import { auditOf } from '../audit.js';
import { confirm } from '../confirm.js';
import { EXIT } from '../exit-codes.js';
import { checkActive, readNamedRun } from '../named-run.js';
import { singleOrMany } from '../single-or-many.js';
import type { Action } from '../action.js';

/** Ends a run, or all runs of a filter, without executing their code. */
export const terminate: Action = (context) =>
  singleOrMany(
    context,
    { operation: 'terminate', inWords: (runs) => `This ends ${runs} and executes none of the code` },
    async (runId, connection) => {
      const { given, printer } = context;
      const run = await readNamedRun(connection, runId);
      checkActive(run);
      if (given.has('dry-run')) {
        await printer.result(`Would end ${run.inWords}. Nothing was changed.`, { dryRun: true, runId });
        return EXIT.ok;
      }
      await confirm(context, `This ends ${run.inWords} without executing its code`);
      await connection.client.terminate(runId, auditOf(given));
      await printer.result(`Ended run "${runId}".`, { runId, status: 'cancelled' });
      return EXIT.ok;
    },
  );
