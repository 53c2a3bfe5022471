import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { readArguments, type BenchArguments, type RowName } from './arguments.js';
import { makeBench, type Bench } from './bench.js';
import { describeMachine } from './machine.js';
import { table } from './report.js';
import { backlog } from './rows/backlog.js';
import { big } from './rows/big.js';
import { child } from './rows/child.js';
import { cold } from './rows/cold.js';
import { emit } from './rows/emit.js';
import { inbox } from './rows/inbox.js';
import { io } from './rows/io.js';
import { latency } from './rows/latency.js';
import { keyed, limited, rate } from './rows/limits.js';
import { list } from './rows/list.js';
import { lockedRow } from './rows/locked-row.js';
import { long } from './rows/long.js';
import { memory } from './rows/memory.js';
import { network } from './rows/network.js';
import { parallel } from './rows/parallel.js';
import { payload } from './rows/payload.js';
import { qstash } from './rows/qstash.js';
import { recovery } from './rows/recovery.js';
import { retention } from './rows/retention.js';
import { scale } from './rows/scale.js';
import { signal } from './rows/signal.js';
import { schedules } from './rows/schedules.js';
import { telemetry } from './rows/telemetry.js';
import { stream } from './rows/stream.js';
import { throughput } from './rows/throughput.js';
import { timer } from './rows/timer.js';
import { transactional } from './rows/transactional.js';
import { openServer, type BenchServer } from './server.js';
import { rounded } from './statistics.js';

/** Measurements of a row, under the keys of the JSON. The floors of all rows are merged. */
type Measured = Record<string, unknown> & { floor?: object };

const ROW: Record<RowName, (bench: Bench) => Promise<Measured>> = {
  cold,
  throughput,
  latency,
  long,
  parallel,
  timer,
  schedules,
  io,
  payload,
  memory,
  scale,
  backlog,
  recovery,
  network,
  signal,
  emit,
  child,
  inbox,
  lockedRow,
  stream,
  qstash,
  retention,
  telemetry,
  transactional,
  keyed,
  limited,
  rate,
  big,
  list,
};

/** A row that takes longer hangs. */
const LIMIT_MS = { quick: 240_000, full: 900_000 };

async function main(): Promise<void> {
  const options = readArguments(process.argv.slice(2));
  const server = await openServer();
  const interrupted = (signal: NodeJS.Signals): void => {
    console.error(`${signal}: cleaning up`);
    void server.stop().finally(() => process.exit(1));
  };
  process.once('SIGINT', interrupted).once('SIGTERM', interrupted);
  try {
    const results = await measure(options, server);
    console.log(table(results));
    if (options.json) writeFileSync(options.json, `${JSON.stringify(results, undefined, 2)}\n`);
  } finally {
    await server.stop();
  }
  // What hangs must not keep the process.
  if (process.exitCode) process.exit();
}

/**
 * Measures all requested rows. A row that fails is reported and skipped; after a row that hangs,
 * nothing more is measured.
 */
async function measure(options: BenchArguments, server: BenchServer): Promise<Measured> {
  const bench = makeBench(server, options);
  const results: Measured = { machine: describeMachine(server, options.quick), floor: {} };
  for (const name of options.only) {
    const stop = new AbortController();
    const limit = sleep(LIMIT_MS[options.quick ? 'quick' : 'full'], 'hangs' as const, { signal: stop.signal });
    bench.say(`${name} ...`);
    try {
      const measured = await Promise.race([ROW[name](bench), limit]);
      if (measured === 'hangs') {
        console.error(`${name} hangs`);
        process.exitCode = 1;
        break;
      }
      Object.assign(results, measured, { floor: { ...results.floor, ...measured.floor } });
    } catch (error) {
      console.error(`${name} failed:`, error);
      process.exitCode = 1;
    } finally {
      stop.abort();
      limit.catch(() => undefined);
    }
  }
  return rounded(results);
}

await main();
