import type { BenchArguments } from './arguments.js';
import type { BenchServer } from './server.js';

/** What every row gets. */
export interface Bench {
  readonly server: BenchServer;
  readonly quick: boolean;
  /** Tells whoever watches how far it has come. */
  say(text: string): void;
}

export function makeBench(server: BenchServer, { quick }: BenchArguments): Bench {
  const began = performance.now();
  const seconds = (): string => ((performance.now() - began) / 1_000).toFixed(1).padStart(6);
  return { server, quick, say: (text) => console.log(`${seconds()} s  ${text}`) };
}
