/** Flow control of a queue. For each key, QStash uses the settings of the newest message. */
export interface QueueFlow {
  /** Number of runs of the queue that may be executed at the same time. */
  readonly parallelism?: number | undefined;
  /** Number of runs that may start per `periodSeconds`. */
  readonly rate?: number | undefined;
  readonly periodSeconds?: number | undefined;
}

/** Checked options of QStash. */
export interface QStashSettings {
  readonly token: string;
  /**
   * Address of the API. Always passed, because the SDK reads missing values from variables of its
   * own.
   */
  readonly apiUrl: string;
  /** Address of deliveries: the exact text that is published and that signatures name. */
  readonly deliveryUrl: string;
  readonly sweepUrl: string;
  readonly keys: { readonly current: string; readonly next: string } | undefined;
  /** Name that distinguishes applications that share a QStash account. */
  readonly namespace: string;
  /** Milliseconds after which a delivery hands its run over. */
  readonly timeBudgetMs: number;
  /** Milliseconds after which the platform ends a request. */
  readonly deliveryTimeoutMs: number;
  /**
   * Longest timeout of a step, in milliseconds. A step that is cut off by the end of the request
   * would be executed again and again.
   */
  readonly longestStepMs: number;
  /**
   * Longest delay of a message, in milliseconds. Longer sleeps are left to the sweep, or reached in
   * several hops.
   */
  readonly maxDelayMs: number;
  /** Cron expression of the sweep; undefined when there is no schedule. */
  readonly sweepCron: string | undefined;
  readonly flow: Readonly<Record<string, QueueFlow>>;
  readonly label: string | undefined;
  /** Prevents the platform from freezing the process before a promise is settled. */
  readonly waitUntil: ((promise: Promise<unknown>) => void) | undefined;
}
