import { sleep } from '../core/timers.js';
import type { BulkDryRun, BulkPreview, BulkStart, BulkStatus } from '../client/control/bulk.js';
import type { RunFilter } from '../client/queries/run-filter.js';
import { counted } from '../core/log-text.js';
import { listSessions } from '../store/sql/health.js';
import { auditOf } from './audit.js';
import { confirm } from './confirm.js';
import type { Connection } from './connection.js';
import { EXIT, type ExitCode } from './exit-codes.js';
import type { CommandContext } from './action.js';

/** Milliseconds between two looks at the progress. */
const LOOK_EVERY_MS = 300;

/** A bulk operation of the client, and its words. */
export interface BulkKind {
  /** Returns the change of these runs as a sentence without its full stop. */
  readonly inWords: (runs: string) => string;
  readonly operation: 'cancel' | 'terminate' | 'retry' | 'delete';
}

/** A bulk operation of the client: its dry run, and its start. */
interface BulkOperation {
  (options: BulkDryRun): Promise<BulkPreview>;
  (options: BulkStart): Promise<BulkStatus>;
}

/**
 * Changes all runs of a filter: counts the runs, asks, starts the operation, and waits until the
 * workers have completed it, or until no worker is alive.
 */
export async function changeMany(context: CommandContext, connection: Connection, filter: RunFilter, kind: BulkKind): Promise<ExitCode> {
  const { given, printer } = context;
  const { bulk } = connection.client;
  const operation: BulkOperation = bulk[kind.operation].bind(bulk);
  printer.progress('counting the runs ...');
  const { count, token } = await operation({ filter, dryRun: true, ...auditOf(given) });
  if (given.has('dry-run')) {
    await printer.result(`${counted(count, 'run')} would be changed. Nothing was changed.`, { dryRun: true, count, token });
    return EXIT.ok;
  }
  if (count === 0) {
    await printer.result('There is no run to change. Nothing was changed.', { ...(await bulk.status(token)) });
    return EXIT.ok;
  }
  await confirm(context, kind.inWords(counted(count, 'run')));
  const rate = given.number('rate');
  let status = await operation({ token, ...(rate === undefined ? {} : { rate }) });
  const isServed = await hasWorker(connection);
  if (!isServed) printer.note('No worker is alive. The operation begins when a process executes runs.');
  if (given.has('detach') || !isServed) return report(context, status);
  const { interrupted } = context.io;
  while (status.state === 'running') {
    if (interrupted.aborted) {
      printer.note(`The workers continue. client.bulk.status() and client.bulk.stop() take the token ${token}.`);
      return EXIT.interrupted;
    }
    printer.progress(`${status.done} changed, ${status.skipped} skipped, of ${status.count} ...`);
    await sleep(LOOK_EVERY_MS);
    // Sessions are read first: a worker may complete the operation and then end.
    const isStillServed = await hasWorker(connection);
    status = await bulk.status(token);
    if (!isStillServed && status.state === 'running') {
      printer.note('No worker is alive any more. The operation continues when a process executes runs.');
      break;
    }
  }
  return report(context, status);
}

/** True when a process that executes runs is alive. */
async function hasWorker({ database }: Connection): Promise<boolean> {
  const sessions = await listSessions(database);
  return sessions.some(({ isExpired }) => !isExpired);
}

async function report({ printer }: CommandContext, status: BulkStatus): Promise<ExitCode> {
  const state = status.state === 'running' ? 'The operation has been started' : `The operation is ${status.state}`;
  const counts = `${counted(status.done, 'run')} changed, ${status.skipped} skipped, of ${status.count}`;
  await printer.result(`${state}: ${counts}. Token ${status.token}`, { ...status });
  return status.state === 'stopped' ? EXIT.failed : EXIT.ok;
}
