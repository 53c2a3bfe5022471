// Public types must not need the types of pg, as sender.ts does.
import type { ManagerOption } from './transactions/manager-option.js';

/** Options of a signal. */
export interface SendOptions {
  /** Key that makes repeated sends safe: a run receives one signal per name and key. */
  idempotencyKey?: string;
  /**
   * Transaction to join: the signal is sent when that transaction commits, and never if it rolls
   * back. `'none'` also ignores the ambient transaction (default: the ambient transaction, if any).
   */
  manager?: ManagerOption;
}
