/**
 * Flow control of a queue. Each message carries the settings of its queue. After a change of the
 * settings, messages with old and new settings exist, and QStash uses those of the newest message.
 */
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
   * Address of the API. It is always passed to the SDK, which would otherwise read it from its own
   * environment variables.
   */
  readonly apiUrl: string;
  /**
   * Address that QStash calls to deliver a run. Messages and signatures contain exactly this text.
   */
  readonly deliveryUrl: string;
  readonly sweepUrl: string;
  readonly keys: { readonly current: string; readonly next: string } | undefined;
  /** Name that distinguishes applications that share a QStash account. */
  readonly namespace: string;
  /**
   * Milliseconds after which a delivery releases its run, so that another delivery continues it.
   */
  readonly timeBudgetMs: number;
  /** Milliseconds after which the platform ends a request. */
  readonly deliveryTimeoutMs: number;
  /**
   * Longest timeout of a step, in milliseconds. A longer step could be cut off by the end of its
   * request again and again.
   */
  readonly longestStepMs: number;
  /**
   * Longest delay of a message, in milliseconds. A longer sleep is announced by the sweep, or by
   * several messages one after the other.
   */
  readonly maxDelayMs: number;
  /** Cron expression of the sweep; undefined when the sweep has no schedule. */
  readonly sweepCron: string | undefined;
  readonly flow: Readonly<Record<string, QueueFlow>>;
  readonly label: string | undefined;
  /**
   * Called with a promise, to prevent the platform from freezing the process before the promise is
   * settled.
   */
  readonly waitUntil: ((promise: Promise<unknown>) => void) | undefined;
}
