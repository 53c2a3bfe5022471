/** Message from the inbox of the run that a wait may take. */
export interface Message {
  readonly id: string;
  /** Address of the message: signals by name, hooks by token, child runs by step key. */
  readonly channel: string;
  /** JSON text. */
  readonly payload: string;
  /** Kind of the payload. A failed child run sends an error. */
  readonly outcome: 'value' | 'error';
}

/** Result of a call when it enters the journal. Payloads are text as it is stored. */
export interface Settlement {
  readonly output?: string | null;
  readonly error?: string | null;
  readonly attempts: number;
  /** Id of the message that the call took. */
  readonly takes?: string;
}

/** Result of a validation: what the wait gets, or why the message is refused. */
export type Verdict = { readonly settlement: Settlement } | { readonly refusal: Error };

/** Validates a message before a wait takes it. Never rejects. */
export type Screen = (message: Message) => Promise<Verdict>;
