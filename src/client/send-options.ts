import type { ManagerOption } from './manager-option.js';

/** How a signal is sent. */
export interface SendOptions {
  /** A signal of that name and key is sent to the run once, however often it is tried. */
  idempotencyKey?: string;
  /** Join this transaction: the signal is sent when it commits, and never if it does not. `'none'`: not even an ambient one. */
  manager?: ManagerOption;
}
