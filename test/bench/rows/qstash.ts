import type { WorkflowHandle } from 'nestjs-durable';
import type { QStashFaults } from 'nestjs-durable/testing';
import type { Bench } from '../bench.js';
import { untilEnded } from '../lost-wake-ups.js';
import { startPushed, type PushedApplication } from '../pushed.js';
import { withClient, type BenchServer } from '../server.js';
import { median } from '../statistics.js';
import { EightSteps } from '../workflows.js';
import { runLatency } from './latency.js';

const SLEEP_MS = 1_000;
const FAULTS: QStashFaults = { seed: 1, failPublish: 0.05, lose: 0.05, duplicate: 0.2, reorder: 0.3, dropAcknowledgement: 0.1 };

/**
 * Messages that QStash takes for a run of eight steps with a sleep, over HTTP. A message is one
 * that the application publishes and QStash accepts, lost or not. Copies made by the faults do not
 * count, nor do attempts that QStash repeats because it received no answer: the row counts them
 * separately.
 */
export async function qstash(bench: Bench) {
  const { server, quick, say } = bench;
  const runs = quick ? 60 : 180;
  const quiet = await drive(server, {}, async (pushed, url) => {
    await runLatency(pushed.client, 20);
    const p50 = median(await runLatency(pushed.client, quick ? 40 : 80));
    pushed.qstash.clear();
    return { ...(await perRun(pushed, url, runs)), p50 };
  });
  say(`qstash: ${quiet.messagesPerRun.toFixed(2)} messages per run; a 3-step run takes ${quiet.p50.toFixed(1)} ms`);
  const withFaults = await drive(server, FAULTS, async (pushed, url) => ({
    ...(await perRun(pushed, url, runs)),
    faults: pushed.qstash.stats(),
  }));
  say(`qstash: ${withFaults.messagesPerRun.toFixed(2)} messages per run with faults, ${withFaults.faults.lost} messages lost`);
  return { qstash: { ...quiet, withFaults } };
}

async function drive<T>(
  server: BenchServer,
  faults: QStashFaults,
  work: (pushed: PushedApplication, url: string) => Promise<T>,
): Promise<T> {
  const database = await server.createDatabase();
  const pushed = await startPushed(database.url, faults);
  try {
    return await work(pushed, database.url);
  } finally {
    await pushed.close();
    await database.drop();
  }
}

async function perRun(pushed: PushedApplication, url: string, runs: number) {
  // One after the other: many at a time would be published in a few requests, too few for one in
  // twenty to fail.
  const handles: WorkflowHandle<number>[] = [];
  for (let n = 0; n < runs; n++) handles.push(await pushed.client.start(EightSteps, { n, ms: SLEEP_MS }));
  await withClient(url, (client) => untilEnded(pushed, client));
  const results = await Promise.all(handles.map((handle) => handle.result({ timeout: '5s' })));
  if (results.some((result, n) => result !== n + 8)) throw new Error('a run has ended with another result');
  const wakeUps = pushed.wakeUps();
  const repeated = pushed.failedAttempts();
  return { runs, messagesPerRun: wakeUps.length / runs, repeatsPerRun: repeated / runs };
}
