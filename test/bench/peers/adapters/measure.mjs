// Runs one system in a process of its own, which `system-process.ts` starts: boots the adapter,
// executes one run to see that the system is ready, measures a burst of runs in the still cold
// process, then the latency of single runs in the idle one.
//
// An adapter exports `boot({ url, slots, settings, folder, schemaFile, bodyEnded })`. Its workflow
// has three steps that return a small object each, and calls `bodyEnded` after the last one. `boot`
// resolves once runs can be executed, with:
//   serverPid    the server's process id, when the system brings a server of its own
//   startMany    starts so many runs; resolves when all are stored
//   completed    resolves with the number of runs that are stored as completed
//   runOne       starts a run and waits for its result, or only starts it without `hasResults`
//   hasResults   true when a caller can wait for a result
import { once } from 'node:events';
import { performance } from 'node:perf_hooks';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';

const LATENCY_RUNS = 200;
const LATENCY_MS = 10_000;
/** A single run that takes longer hangs. */
const ONE_RUN_MS = 30_000;
const POLL_MS = 5;

const { adapter, runs, limitMs, ...task } = JSON.parse(process.argv[2]);

let ended = 0;
let onBodyEnd = () => undefined;
function bodyEnded() {
  ended++;
  onBodyEnd();
}

/** Resolves with the time at which `count` more bodies have ended. */
function bodies(count) {
  const target = ended + count;
  return new Promise((resolve) => {
    onBodyEnd = () => {
      if (ended >= target) resolve(performance.now());
    };
  });
}

async function within(promise, ms, otherwise) {
  const stop = new AbortController();
  const limit = sleep(ms, otherwise, { signal: stop.signal });
  limit.catch(() => undefined);
  try {
    return await Promise.race([promise, limit]);
  } finally {
    stop.abort();
  }
}

/** Waits for so many completed runs, or for the deadline; resolves with their number. */
async function waitForCompleted(system, count, deadline) {
  for (;;) {
    const completed = await system.completed();
    if (completed >= count || performance.now() > deadline) return completed;
    await sleep(POLL_MS);
  }
}

/** Counts what is completed once the last body has ended, so that few counts disturb the burst. */
async function burst(system) {
  const before = await system.completed();
  const cpuBefore = process.cpuUsage();
  const began = performance.now();
  const allEnded = bodies(runs);
  const started = system.startMany(runs);
  await within(Promise.all([started, allEnded]), limitMs);
  const completed = (await waitForCompleted(system, before + runs, began + limitMs)) - before;
  const seconds = (performance.now() - began) / 1_000;
  const cpu = process.cpuUsage(cpuBefore);
  started.catch(() => undefined);
  return { completed, seconds, cpuMs: (cpu.user + cpu.system) / 1_000 };
}

/** Milliseconds from the start of a run to the end of its body, and to its result. */
async function single(system) {
  const body = bodies(1);
  const began = performance.now();
  const result = system.runOne().then(() => performance.now());
  const times = await within(Promise.all([body, result]), ONE_RUN_MS);
  if (!times) throw new Error(`a single run did not end within ${ONE_RUN_MS / 1_000} s`);
  return { bodyMs: times[0] - began, resultMs: times[1] - began };
}

/** Milliseconds of single runs, one after another: to the end of the body, and to the result. */
async function latency(system) {
  const toBody = [];
  const toResult = [];
  const deadline = performance.now() + LATENCY_MS;
  while (toBody.length < LATENCY_RUNS && performance.now() < deadline) {
    const { bodyMs, resultMs } = await single(system);
    toBody.push(bodyMs);
    if (system.hasResults) toResult.push(resultMs);
  }
  return { toBody, toResult };
}

// Servers that the adapter started are in this process group too.
process.on('disconnect', () => process.kill(-process.pid, 'SIGKILL'));
process.on('unhandledRejection', (reason) => process.send({ error: String(reason?.stack ?? reason) }));

const { boot } = await import(`./${adapter}.mjs`);
const system = await boot({ ...task, bodyEnded });
await single(system);
await waitForCompleted(system, 1, performance.now() + ONE_RUN_MS);
process.send({ serverPid: system.serverPid ?? null });
const stages = { burst, latency };
for (;;) {
  const [stage] = await once(process, 'message');
  process.send(await stages[stage](system));
}
