// Public types must work without the types of pg. Importing from sender.ts would require them.
import type { ManagerOption } from './transactions/manager-option.js';

/** Options for sending a signal. */
export interface SendOptions {
  /**
   * Key that makes it safe to send a signal again. A run receives only one signal with the same
   * name and key.
   */
  idempotencyKey?: string;
  /**
   * Transaction to join: the signal is sent when this transaction commits, and never if it rolls
   * back. `'none'` joins no transaction (default: the ambient transaction, if any).
   */
  manager?: ManagerOption;
}
