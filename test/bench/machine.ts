import { cpus, platform, release, totalmem } from 'node:os';
import type { BenchServer } from './server.js';

/**
 * Describes the machine of the measurement. Absolute numbers of different machines cannot be
 * compared, ratios with some care.
 */
export function describeMachine(server: BenchServer, quick: boolean) {
  const processors = cpus();
  return {
    cpu: processors[0]?.model ?? 'unknown',
    cores: processors.length,
    memoryGiB: totalmem() / 2 ** 30,
    system: `${platform()} ${release()}`,
    node: process.version,
    postgres: server.version,
    embedded: server.embedded,
    form: quick ? 'quick' : 'full',
    at: new Date().toISOString(),
  };
}
