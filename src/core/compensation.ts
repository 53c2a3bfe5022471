/** Order in which the compensations of a run or of a saga are executed. */
export type CompensationOrder = 'serial' | 'parallel';

export const COMPENSATION_ORDERS: readonly CompensationOrder[] = ['serial', 'parallel'];

/**
 * Steps that a compensation undoes: only completed ones, or also those that failed or were
 * interrupted.
 */
export type CompensateOn = 'completed' | 'attempted';

export const COMPENSATE_ON: readonly CompensateOn[] = ['completed', 'attempted'];

/** The step that a compensation undoes. */
export interface CompensatedStep {
  /** Key of the step. */
  readonly stepKey: string;
  /** Idempotency key of the step: the one with which its body called other systems. */
  readonly idempotencyKey: string;
  /**
   * `completed` when the step has an output. `failed` when the step failed, timed out or was
   * interrupted: the step may have taken effect or not.
   */
  readonly status: 'completed' | 'failed';
}
