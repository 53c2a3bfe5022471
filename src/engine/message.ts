/** A message from the run's inbox that a wait may take. */
export interface Message {
  readonly id: string;
  /** What it is for: signals by name, hooks by token, child runs by step key. */
  readonly channel: string;
  /** JSON text. */
  readonly payload: string;
  /** Whether the payload is a result or an error: a child run may have failed. */
  readonly outcome: 'value' | 'error';
}

/** What is known of a result when it enters the journal. Payloads are text as it is stored. */
export interface Settlement {
  readonly output?: string | null;
  readonly error?: string | null;
  readonly attempts: number;
  /** The message that it took. */
  readonly takes?: string;
}

/** What the check of a message came to: what its wait gets, or why nobody gets it. */
export type Verdict = { readonly settlement: Settlement } | { readonly refusal: Error };

/** Looks at a message before a wait takes it. Never rejects. */
export type Screen = (message: Message) => Promise<Verdict>;
