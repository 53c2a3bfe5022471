// These types are public, and an application may compile them without the types of pg. An import
// from sender.ts would need the types of pg.
import type { ManagerOption } from './transactions/manager-option.js';

/** Options for sending a signal. */
export interface SendOptions {
  /**
   * Key that makes it safe to send a signal again. A run receives only the first signal with the
   * same name and key. (default: none; the run receives each signal)
   */
  idempotencyKey?: string;
  /**
   * Transaction to join: the signal is sent when this transaction commits, and never if it rolls
   * back. `'none'` joins no transaction. (default: the transaction that the module's
   * `currentTransaction` returns, if any)
   */
  manager?: ManagerOption;
}
