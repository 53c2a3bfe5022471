/** Checked option `batch`. */
export interface BatchRule {
  readonly size: number;
  readonly waitMs: number;
}

/** Batch that a new run joins. */
export interface BatchStart extends BatchRule {
  /** Id and nonce of the run that executes the batch, if this start opens a batch. */
  readonly batchId: string;
  readonly batchNonce: string;
}
