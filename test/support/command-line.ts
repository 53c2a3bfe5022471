import { main } from '../../src/cli/main.js';
import type { Io } from '../../src/cli/io.js';

/** Outcome of a command that was executed in this process. */
export interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export interface CommandOptions {
  /** Answer of the person at the terminal. Without it, nobody can be asked. */
  readonly answer?: string;
  readonly input?: string | Uint8Array;
  readonly hasColors?: boolean;
  /** Presses Ctrl-C when this returns true for the output so far. */
  readonly interruptWhen?: (out: string, err: string) => boolean;
  readonly url?: string | undefined;
}

/** Executes a command line in this process, as `npx nestjs-durable` does. */
export async function command(argv: readonly string[], options: CommandOptions = {}): Promise<Outcome> {
  const { answer, input = '', hasColors = false, interruptWhen = () => false, url } = options;
  const interruption = new AbortController();
  let out = '';
  let err = '';
  const check = (): void => {
    if (interruptWhen(out, err)) interruption.abort();
  };
  const io: Io = {
    environment: url === undefined ? {} : { DATABASE_URL: url },
    version: '0.0.0-test',
    isInteractive: answer !== undefined,
    hasColors,
    showsProgress: false,
    write: async (text) => {
      out += text;
      check();
    },
    writeError: (text) => {
      err += text;
      check();
    },
    ask: async (question) => {
      err += question;
      return answer ?? '';
    },
    readInput: async () => Buffer.from(input as Uint8Array),
    interrupted: interruption.signal,
  };
  const code = await main(argv, io);
  return { code, out, err };
}

/** Splits a command line into words as a shell does; quotes keep spaces. */
export function words(line: string): string[] {
  return [...line.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(([, single, double, plain]) => single ?? double ?? plain!);
}
