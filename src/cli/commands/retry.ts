import { recordedStepKey } from '../../client/control/step-key.js';
import { checkStepKey } from '../../core/step-key-format.js';
import { auditOf } from '../audit.js';
import { usageError } from '../errors.js';
import { EXIT } from '../exit-codes.js';
import { checkRetryable, readNamedRun } from '../named-run.js';
import { singleOrMany } from '../single-or-many.js';
import type { Action } from '../action.js';

/** Retries a failed run, or all failed runs of a filter. */
export const retry: Action = async (context) => {
  const { given, printer } = context;
  const fromStep = given.text('from-step');
  if (fromStep !== undefined && given.positionals.length === 0) throw usageError('--from-step needs a RUN');
  return singleOrMany(context, { operation: 'retry', inWords: (runs) => `This retries ${runs}` }, async (runId, connection) => {
    if (given.has('dry-run')) {
      const stepKey = fromStep === undefined ? undefined : checkStepKey(fromStep, 'options.fromStep');
      const run = await readNamedRun(connection, runId);
      checkRetryable(run);
      if (stepKey !== undefined) await recordedStepKey(connection.database, run.runId, stepKey, 'options.fromStep');
      await printer.result(`Would retry ${run.inWords}. Nothing was changed.`, { dryRun: true, runId });
      return EXIT.ok;
    }
    await connection.client.retry(runId, { ...auditOf(given), ...(fromStep === undefined ? {} : { fromStep }) });
    await printer.result(`Run "${runId}" is due again.`, { runId, status: 'pending' });
    return EXIT.ok;
  });
};
