import { COUNTS, FAILURES, LISTS, type ListQuery } from './list-queries.js';

type Tree = { [key: string]: unknown };

type Line = readonly [label: string, path: string, unit: string, goal: string];

const listLines = (name: string, queries: readonly ListQuery<unknown>[], goal: string): Line[] =>
  queries.map(({ key, label }) => [`${name}, p95: ${label}`, `list.${name}.${key}.p95`, 'ms', goal]);

/** Lines of the table: label, path of the number, unit, and goal. */
const LINES: readonly Line[] = [
  ['floor: four inserts', 'floor.latency.p50', 'ms', ''],
  ['floor: a statement per write', 'floor.unbatched', 'runs/s', ''],
  ['floor: statements of 100 rows', 'floor.batched', 'runs/s', ''],
  ['2,000 runs in a cold process, poller', 'cold.poller.runsPerSecond', 'runs/s', ''],
  ['  over unbatched', 'cold.poller.perUnbatched', 'x', '4'],
  ['  CPU of the process', 'cold.poller.cpuMsPerRun', 'ms/run', ''],
  ['  CPU of PostgreSQL', 'cold.poller.serverCpuMsPerRun', 'ms/run', ''],
  ['  statements', 'cold.poller.statementsPerRun', '/run', ''],
  ['  flushes', 'cold.poller.flushesPerRun', '/run', ''],
  ['2,000 runs in a cold process, eager start', 'cold.eager.runsPerSecond', 'runs/s', ''],
  ['  over unbatched', 'cold.eager.perUnbatched', 'x', '5'],
  ['  CPU of the process', 'cold.eager.cpuMsPerRun', 'ms/run', ''],
  ['  CPU of PostgreSQL', 'cold.eager.serverCpuMsPerRun', 'ms/run', ''],
  ['  statements', 'cold.eager.statementsPerRun', '/run', ''],
  ['  flushes', 'cold.eager.flushesPerRun', '/run', ''],
  ['throughput, poller', 'throughput.runsPerSecond', 'runs/s', ''],
  ['  over unbatched', 'throughput.perUnbatched', 'x', '6'],
  ['  over batched', 'throughput.perBatched', 'x', ''],
  ['  last fifth over first', 'throughput.lastFifthOverFirst', 'x', '1'],
  ['  sustained, runs/s', 'throughput.sustained.runsPerSecond', 'runs/s', ''],
  ['  sustained, last fifth over first', 'throughput.sustained.lastFifthOverFirst', 'x', '1'],
  ['  CPU of the process', 'throughput.cpuMsPerRun', 'ms/run', ''],
  ['  CPU of PostgreSQL', 'throughput.serverCpuMsPerRun', 'ms/run', ''],
  ['  CPU of both', 'throughput.totalCpuMsPerRun', 'ms/run', ''],
  ['  commits', 'throughput.commitsPerRun', '/run', ''],
  ['  statements', 'throughput.statementsPerRun', '/run', ''],
  ['  WAL', 'throughput.walBytesPerRun', 'bytes/run', ''],
  ['throughput, eager start', 'throughput.localRunsPerSecond', 'runs/s', ''],
  ['  over unbatched', 'throughput.localPerUnbatched', 'x', '9'],
  ['  last fifth over first', 'throughput.local.lastFifthOverFirst', 'x', '1'],
  ['  CPU of the process', 'throughput.local.cpuMsPerRun', 'ms/run', ''],
  ['  CPU of PostgreSQL', 'throughput.local.serverCpuMsPerRun', 'ms/run', ''],
  ['  CPU of both', 'throughput.local.totalCpuMsPerRun', 'ms/run', ''],
  ['  commits', 'throughput.local.commitsPerRun', '/run', ''],
  ['throughput, default options, poller', 'throughput.installed.poller.runsPerSecond', 'runs/s', ''],
  ['  over unbatched', 'throughput.installed.poller.perUnbatched', 'x', '6'],
  ['  last fifth over first', 'throughput.installed.poller.lastFifthOverFirst', 'x', '1'],
  ['  CPU of process and PostgreSQL', 'throughput.installed.poller.totalCpuMsPerRun', 'ms/run', ''],
  ['throughput, default options, eager start', 'throughput.installed.eager.runsPerSecond', 'runs/s', ''],
  ['  over unbatched', 'throughput.installed.eager.perUnbatched', 'x', '8'],
  ['  last fifth over first', 'throughput.installed.eager.lastFifthOverFirst', 'x', '1'],
  ['  CPU of process and PostgreSQL', 'throughput.installed.eager.totalCpuMsPerRun', 'ms/run', ''],
  ['latency, p50', 'latency.p50', 'ms', ''],
  ['latency, p95', 'latency.p95', 'ms', ''],
  ['  p50 over the floor', 'latency.perFloor', 'x', '1.3'],
  ['long run', 'long.stepsPerSecond', 'steps/s', ''],
  ['  over single-row inserts', 'long.perInserts', 'x', '0.85'],
  ['  last hundred over first, time', 'long.lastOverFirst', 'x', '1'],
  ['200 parallel steps', 'parallel.ms', 'ms', '5'],
  ['1 s sleep, late by p50', 'timer.p50', 'ms', ''],
  ['1 s sleep, late by p95', 'timer.p95', 'ms', '5'],
  ['3 s sleep (suspended), late by p50', 'timer.suspended.p50', 'ms', ''],
  ['3 s sleep (suspended), late by p95', 'timer.suspended.p95', 'ms', ''],
  ['three waits of 20 ms for a socket', 'io.runsPerSecond', 'runs/s', ''],
  ['  over the waits alone', 'io.perWaiting', 'x', '0.9'],
  ['  over 50 waits of exactly 20 ms', 'io.perNominal', 'x', ''],
  ['steps of 64 KiB', 'payload.mbPerSecond', 'MB/s', ''],
  ['  over plain batched inserts', 'payload.perInserts', 'x', '0.7'],
  ['heap per active run', 'memory.bytesPerActiveRun', 'bytes', ''],
  ['heap per suspended run', 'memory.bytesPerSuspendedRun', 'bytes', '50'],
  ['  CPU when idle, few suspended', 'memory.idleWithFewSuspended.cpuMsPerSecond', 'ms/s', ''],
  ['  CPU when idle, all suspended', 'memory.idleWithAllSuspended.cpuMsPerSecond', 'ms/s', ''],
  ['heap of startMany, for 100,000 runs', 'memory.startManyMb', 'MB', '200'],
  ['a backlog, one worker process', 'scale.one.runsPerSecond', 'runs/s', ''],
  ['  two processes, over one', 'scale.two.perOne', 'x', ''],
  ['  two processes, CPU per run over one', 'scale.two.cpuPerOne', 'x', '1.1'],
  ['  four processes, over one', 'scale.four.perOne', 'x', ''],
  ['  four processes, CPU per run over one', 'scale.four.cpuPerOne', 'x', '1.1'],
  ['throughput beside a backlog, over without', 'backlog.ratio', 'x', '0.95'],
  ['throughput while ended runs are deleted, over without', 'retention.ratio', 'x', '0.85'],
  ['  deleted meanwhile', 'retention.deletedPerSecond', 'runs/s', ''],
  ['  size of the tables, last round over second', 'retention.sizeGrowth', 'x', '1.1'],
  ['recovery after kill -9', 'recovery.ms', 'ms', '1000'],
  ['  the remaining work by itself', 'recovery.remainingWorkMs', 'ms', ''],
  ['round trips per step', 'network.roundTripsPerStep', '', '1.05'],
  ['round trips per three-step run', 'network.roundTripsPerRun', '', ''],
  ['signal, send to resume, p50', 'signal.p50', 'ms', ''],
  ['  p50 over the floor', 'signal.perFloor', 'x', '4'],
  ['  of a suspended run, p50', 'signal.suspended.p50', 'ms', ''],
  ['child, invoke to result, p50', 'child.p50', 'ms', ''],
  ['  p50 over the floor', 'child.perFloor', 'x', '4'],
  ['signals to a busy run, inbox rows read', 'inbox.rowsPerSignal', '/signal', '2'],
  ['  p95 of other runs, over without', 'inbox.othersP95', 'x', '1.5'],
  ['60 signals to a locked run, p95 of others', 'lockedRow.othersP95', 'x', '1.5'],
  ['stream, commit to reader, p95', 'stream.p95', 'ms', '50'],
  ['  one writer', 'stream.chunksPerSecond', 'chunks/s', '5000'],
  ['  100 readers of it', 'stream.deliveredPerSecond', 'chunks/s', '100000'],
  ['  memory of an idle reader', 'stream.bytesPerIdleReader', 'bytes', ''],
  ['QStash messages, 8 steps and a sleep', 'qstash.messagesPerRun', '/run', '2'],
  ['  with faults', 'qstash.withFaults.messagesPerRun', '/run', '2.5'],
  ['  with faults, attempts repeated', 'qstash.withFaults.repeatsPerRun', '/run', ''],
  ['  a 3-step run, start to result, p50', 'qstash.p50', 'ms', ''],
  ['OpenTelemetry on, over off, poller', 'telemetry.poller.perOff', 'x', '0.85'],
  ['  CPU of the process', 'telemetry.poller.cpuPerOff', 'x', ''],
  ['  a tenth sampled', 'telemetry.poller.tenthPerOff', 'x', ''],
  ['OpenTelemetry on, over off, eager start', 'telemetry.eager.perOff', 'x', '0.85'],
  ['  CPU of the process', 'telemetry.eager.cpuPerOff', 'x', ''],
  ['  a tenth sampled', 'telemetry.eager.tenthPerOff', 'x', ''],
  ['3 transactional steps, over plain transactions', 'transactional.perPlain', 'x', '0.8'],
  ['start beside ended and sleeping runs, p50', 'big.start', 'ms', ''],
  ['  over an empty table', 'big.startPerEmpty', 'x', '1.1'],
  ['claim beside ended and sleeping runs, p50', 'big.claim', 'ms', ''],
  ['  over an empty table', 'big.claimPerEmpty', 'x', '1.1'],
  ...listLines('list', LISTS, '100'),
  ...listLines('count', COUNTS, ''),
  ...listLines('failures', FAILURES, ''),
];

/** The numbers that there are, for people. */
export function table(results: Tree): string {
  const rows = LINES.flatMap(([label, path, unit, goal]) => {
    const value = path.split('.').reduce<unknown>((at, key) => (at as Tree | undefined)?.[key], results);
    return typeof value === 'number' ? [[label, value.toLocaleString('en', { maximumSignificantDigits: 4 }), unit, goal]] : [];
  });
  const all = [['', 'measured', '', 'goal'], ...rows];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...all.map((row) => row[column]!.length)));
  const lines = all.map(([label, value, unit, goal]) =>
    `  ${label!.padEnd(widths[0]!)}  ${value!.padStart(widths[1]!)} ${unit!.padEnd(widths[2]!)}  ${goal!.padStart(widths[3]!)}`.trimEnd(),
  );
  const { node, postgres, cores, form } = results['machine'] as Record<string, string>;
  return `\nNode ${node}, PostgreSQL ${postgres}, ${cores} cores, ${form} form; medians, ratios are paired\n${lines.join('\n')}\n`;
}
