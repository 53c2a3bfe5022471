import { auditOf } from '../audit.js';
import { usageError } from '../errors.js';
import { EXIT } from '../exit-codes.js';
import { runInWords, singleOrMany } from '../single-or-many.js';
import type { Action } from '../action.js';

/** Retries a failed run, or all failed runs of a filter. */
export const retry: Action = async (context) => {
  const { given, printer } = context;
  const fromStep = given.text('from-step');
  if (fromStep !== undefined && given.positionals.length === 0) throw usageError('--from-step needs a RUN');
  return singleOrMany(context, { operation: 'retry', inWords: (runs) => `This retries ${runs}` }, async (runId, connection) => {
    if (given.has('dry-run')) {
      await printer.result(`Would retry ${await runInWords(connection, runId)}. Nothing was changed.`, { dryRun: true, runId });
      return EXIT.ok;
    }
    await connection.client.retry(runId, { ...auditOf(given), ...(fromStep === undefined ? {} : { fromStep }) });
    await printer.result(`Run "${runId}" is due again.`, { runId, status: 'pending' });
    return EXIT.ok;
  });
};
