import { writeFileSync } from 'node:fs';
import { readArguments, type RowName } from './arguments.js';
import { makeBench, type Bench } from './bench.js';
import { describeMachine } from './machine.js';
import { table } from './report.js';
import { backlog } from './rows/backlog.js';
import { latency } from './rows/latency.js';
import { long } from './rows/long.js';
import { network } from './rows/network.js';
import { parallel } from './rows/parallel.js';
import { recovery } from './rows/recovery.js';
import { throughput } from './rows/throughput.js';
import { timer } from './rows/timer.js';
import { openServer } from './server.js';
import { rounded } from './statistics.js';

/** What a row measures, under the keys of the JSON; floors are put together. */
type Measured = Record<string, unknown> & { floor?: object };

const ROW: Record<RowName, (bench: Bench) => Promise<Measured>> = {
  throughput,
  latency: async (bench) => {
    const measured = await latency(bench);
    return { floor: { latency: measured.floor }, latency: measured.latency };
  },
  long,
  parallel,
  timer,
  backlog,
  recovery,
  network,
};

async function main(): Promise<void> {
  const options = readArguments(process.argv.slice(2));
  const server = await openServer();
  const interrupted = (signal: NodeJS.Signals): void => {
    console.error(`${signal}: cleaning up`);
    void server.stop().finally(() => process.exit(1));
  };
  process.once('SIGINT', interrupted).once('SIGTERM', interrupted);
  try {
    const bench = makeBench(server, options);
    const machine = describeMachine(server, options.quick);
    const results: Measured = { machine, floor: {} };
    for (const name of options.only) {
      bench.say(`${name} ...`);
      const { floor, ...measured } = await ROW[name](bench);
      results.floor = { ...results.floor, ...floor };
      Object.assign(results, measured);
    }
    const numbers = rounded(results);
    console.log(table(numbers));
    if (options.json) writeFileSync(options.json, `${JSON.stringify(numbers, undefined, 2)}\n`);
  } finally {
    await server.stop();
  }
}

await main();
