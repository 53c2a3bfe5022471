import { notifyOfEnd } from '../client/control/notify-of-end.js';
import { unblockRuns } from '../store/sql/blocked-runs.js';
import { handBackOwnerless } from '../store/sql/hand-back.js';
import { AdmissionSweep } from './admission-sweep.js';
import { BulkOperationsSweep } from './bulk-operations-sweep.js';
import { DeadSessionsSweep } from './dead-sessions-sweep.js';
import { ExpiredListenersSweep } from './expired-listeners-sweep.js';
import { sweepMessages } from './message-sweep.js';
import { sweepOverdue } from './overdue-sweep.js';
import { RetentionSweep } from './retention-sweep.js';
import { StreamRetentionSweep } from './stream-retention-sweep.js';
import { sweepSharedStarts } from './shared-starts-sweep.js';
import type { Sweep, SweepDependencies } from './sweep.js';

const INBOX_EVERY_MS = 5_000;
const OVERDUE_EVERY_MS = 5_000;
const UNBLOCK_EVERY_MS = 10_000;
const OWNERLESS_EVERY_MS = 10_000;

/** Sweeps in the order in which a process that QStash calls executes them. */
export interface Sweeps {
  /** Takes over dead sessions. The other sweeps may apply to the runs that it makes due. */
  readonly deadSessions: Sweep;
  /** Continues bulk operations. One of `others`. */
  readonly bulkOperations: Sweep;
  readonly others: readonly Sweep[];
  /** Deletes runs. No other work should wait for deletions, which may take long. */
  readonly deletions: readonly Sweep[];
}

/** Creates all sweeps. */
export function createSweeps(dependencies: SweepDependencies): Sweeps {
  const {
    database,
    payloads,
    notifier,
    notices,
    retention,
    streamRetention,
    deploymentId,
    served,
    returned,
    eventWork,
    eventRetentionMs,
    warn,
  } = dependencies;
  const deadSessions = new DeadSessionsSweep(dependencies);
  const inbox: Sweep = {
    failure: 'sweep: could not read the inbox',
    everyMs: INBOX_EVERY_MS,
    run: async (signal) => {
      const work = await sweepMessages(database, notifier, notices, eventRetentionMs);
      if (work.has('shared starts')) await sweepSharedStarts(database, notices, signal);
      if (work.has('events')) await eventWork(signal);
      return undefined;
    },
  };
  const overdue: Sweep = {
    failure: 'sweep: could not find overdue runs',
    everyMs: OVERDUE_EVERY_MS,
    run: async () => {
      await sweepOverdue(database, payloads, notices, notifier, served());
      return undefined;
    },
  };
  const blocked: Sweep = {
    failure: 'sweep: could not find blocked runs',
    everyMs: UNBLOCK_EVERY_MS,
    run: async () => {
      const unblocked = await unblockRuns(database, served(), deploymentId);
      if (unblocked.length > 0) await returned(unblocked);
      return undefined;
    },
  };
  const ownerless: Sweep = {
    failure: 'sweep: could not hand back runs whose session is gone',
    everyMs: OWNERLESS_EVERY_MS,
    run: async () => {
      const handedBack = await handBackOwnerless(database);
      if (handedBack.length > 0) await returned(handedBack);
      return undefined;
    },
  };
  const bulkOperations = new BulkOperationsSweep(database, payloads, notifier, {
    due: (runs) => void notices.due(runs),
    ended: (runs) => notifyOfEnd(notices, notifier, runs),
    failed: (error) => warn('sweep-failed', 'sweep: could not continue bulk operations', error),
  });
  const admissions = new AdmissionSweep(database, dependencies.admissions);
  const expiredListeners = new ExpiredListenersSweep(database, (message) => warn('listener-expired', message));
  const deletions = [
    ...(retention ? [new RetentionSweep(database, retention)] : []),
    ...(streamRetention ? [new StreamRetentionSweep(database, streamRetention)] : []),
  ];
  return {
    deadSessions,
    bulkOperations,
    others: [admissions, inbox, overdue, blocked, ownerless, bulkOperations, expiredListeners],
    deletions,
  };
}
