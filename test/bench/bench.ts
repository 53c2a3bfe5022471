import type { BenchArguments } from './arguments.js';
import type { BenchServer } from './server.js';

/** Everything that a row of the bench needs. */
export interface Bench {
  readonly server: BenchServer;
  readonly quick: boolean;
  /** Reports progress to the terminal. */
  say(text: string): void;
}

export function makeBench(server: BenchServer, { quick }: BenchArguments): Bench {
  const began = performance.now();
  const seconds = (): string => ((performance.now() - began) / 1_000).toFixed(1).padStart(6);
  return { server, quick, say: (text) => console.log(`${seconds()} s  ${text}`) };
}
