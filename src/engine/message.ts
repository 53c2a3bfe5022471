/** Message in the run's inbox that a wait may take. */
export interface Message {
  readonly id: string;
  /** Address of the message, such as `signal:<name>`, `hook:<token>` or `child:<step key>`. */
  readonly channel: string;
  /** JSON text. */
  readonly payload: string;
  /** Kind of the payload: a failed child run sends an error. */
  readonly outcome: 'value' | 'error';
  /** Trace context of the sender, in the stored form; absent or null when it is not traced. */
  readonly traceContext?: string | null;
  /** Number of the event that the message carries; absent for other messages. */
  readonly event?: string | undefined;
}

/**
 * Result of a call, as it is handed to the journal. `output` and `error` are text in the stored
 * form.
 */
export interface Settlement {
  readonly output?: string | null;
  readonly error?: string | null;
  readonly attempts: number;
  /** Id of the message that the call took. */
  readonly takes?: string;
  /** Number of the event that the call received. */
  readonly event?: string | undefined;
}

/** Result of validating a message: the result for the wait, or the reason to refuse the message. */
export type Verdict = { readonly settlement: Settlement } | { readonly refusal: Error };

/** Validates a message before a wait takes it. The promise never rejects. */
export type MessageValidator = (message: Message) => Promise<Verdict>;
