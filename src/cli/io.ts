/** Streams, environment and signals that commands use. Tests replace them. */
export interface Io {
  readonly environment: Readonly<NodeJS.ProcessEnv>;
  /** Version of this package. */
  readonly version: string;
  /** True when a person can answer a question: stdin and stderr are a terminal. */
  readonly isInteractive: boolean;
  /** True when stdout is a terminal that shows colours. */
  readonly hasColors: boolean;
  /** True when stderr is a terminal, on which progress can be shown. */
  readonly showsProgress: boolean;
  /** Writes to stdout. Resolves when more may be written. */
  write(text: string): Promise<void>;
  /** Writes to stderr. */
  writeError(text: string): void;
  /** Shows a question on stderr, and returns the answer. */
  ask(question: string): Promise<string>;
  /** Reads all bytes of stdin. */
  readInput(): Promise<Uint8Array>;
  /** Aborts when the user presses Ctrl-C, or the process gets SIGTERM. */
  readonly interrupted: AbortSignal;
}
