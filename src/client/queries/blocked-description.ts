import { toDate } from '../../core/duration.js';
import type { Payloads } from '../../core/payloads.js';
import type { RunDescriptionRow } from '../../store/sql/read-runs.js';

/** Reason why a run is blocked, and the deployments that were tried. */
export interface BlockedDescription {
  /** Moment at which the run was blocked, if known. */
  since: Date | undefined;
  /**
   * Deployments whose code does not match the run's history, in the order in which they tried to
   * execute the run.
   */
  deployments: string[];
  /**
   * Mismatch that the last deployment found, or the error with which the database refused to record
   * the run's progress.
   */
  reason: Error | undefined;
}

type BlockedRow = Pick<RunDescriptionRow, 'isBlocked' | 'blockedAt' | 'blockedReason' | 'blockedDeployments'>;

/** @internal */
export function blockedOf(row: BlockedRow, payloads: Payloads): BlockedDescription | undefined {
  if (!row.isBlocked) return undefined;
  const reason = row.blockedReason === null ? undefined : payloads.showError(row.blockedReason);
  return { since: toDate(row.blockedAt), deployments: [...row.blockedDeployments], reason };
}
