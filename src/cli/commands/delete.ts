import { auditOf } from '../audit.js';
import { confirm } from '../confirm.js';
import { EXIT } from '../exit-codes.js';
import { checkEnded, readNamedRun } from '../named-run.js';
import { singleOrMany } from '../single-or-many.js';
import type { Action } from '../action.js';

/** Deletes an ended run, or all ended runs of a filter. */
export const deleteRun: Action = (context) =>
  singleOrMany(
    context,
    { operation: 'delete', inWords: (runs) => `This deletes ${runs}, with the runs of their chains and their ended children` },
    async (runId, connection) => {
      const { given, printer } = context;
      const run = await readNamedRun(connection, runId);
      checkEnded(run);
      if (given.has('dry-run')) {
        await printer.result(`Would delete ${run.inWords}. Nothing was changed.`, { dryRun: true, runId });
        return EXIT.ok;
      }
      await confirm(context, `This deletes ${run.inWords}, with the runs of its chain and its ended children`);
      await connection.client.delete(runId, auditOf(given));
      await printer.result(`Deleted run "${runId}".`, { runId, isDeleted: true });
      return EXIT.ok;
    },
  );
