/** How QStash may be used for a queue; the newest message's settings count for its key. */
export interface QueueFlow {
  /** How many runs of the queue may be executed at a time. */
  readonly parallelism?: number | undefined;
  /** How many runs may begin per `periodSeconds`. */
  readonly rate?: number | undefined;
  readonly periodSeconds?: number | undefined;
}

/** The options of QStash, checked. */
export interface QStashSettings {
  readonly token: string;
  /** Of the API. Always said: what is not given to the SDK, it takes from variables of its own. */
  readonly apiUrl: string;
  /** Where wake-ups are delivered to: the very text that is published, and that signatures name. */
  readonly deliveryUrl: string;
  readonly sweepUrl: string;
  readonly keys: { readonly current: string; readonly next: string } | undefined;
  /** Tells what several applications publish to one QStash apart. */
  readonly namespace: string;
  /** How long a delivery goes on with a run before it hands it over. */
  readonly timeBudgetMs: number;
  /** After how long the platform ends a request. */
  readonly deliveryTimeoutMs: number;
  /** How long a step may take that is begun at once: what is let go of in the middle is executed again, and again. */
  readonly longestStepMs: number;
  /** Longer sleeps are left to the sweep, or reached in hops. */
  readonly maxDelayMs: number;
  /** Of the sweep; undefined without one. */
  readonly sweepCron: string | undefined;
  readonly flow: Readonly<Record<string, QueueFlow>>;
  readonly label: string | undefined;
  /** Keeps the platform from freezing the process before a promise is settled. */
  readonly waitUntil: ((promise: Promise<unknown>) => void) | undefined;
}
