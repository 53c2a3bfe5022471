import { startAsInstalled } from '../application.js';
import { produce, type Load } from '../produce.js';
import { LateServer, ThreeWaits, waitFor, WAITS_PER_RUN } from '../waiting-workflow.js';
import { endWithParent, nextQuestion, tellParent } from './child.js';

/** Answers of this process: to `wait`, and to `work`. */
export interface WaitingAlone {
  readonly runsPerSecond: number;
}
export interface WaitingRuns extends WaitingAlone {
  /** Highest number of bodies that waited at a time. */
  readonly mostBodies: number;
}

endWithParent();
const [, , url, port, concurrency, waitSeconds, json] = process.argv;
const load = JSON.parse(json!) as Load;
const { client } = await startAsInstalled(url!, {}, [ThreeWaits]);
tellParent('ready');
for (;;) {
  const question = await nextQuestion();
  tellParent(question === 'wait' ? await waitOnly() : await work());
}

/** Sends the same requests without durable runs, as many at a time as the worker has slots. */
async function waitOnly(): Promise<WaitingAlone> {
  const late = new LateServer(Number(port));
  const began = performance.now();
  const deadline = began + Number(waitSeconds) * 1_000;
  let runs = 0;
  const lane = async (): Promise<void> => {
    while (performance.now() < deadline) {
      for (let n = 0; n < WAITS_PER_RUN; n++) await late.request();
      runs++;
    }
  };
  await Promise.all(Array.from({ length: Number(concurrency) }, lane));
  const seconds = (performance.now() - began) / 1_000;
  late.close();
  return { runsPerSecond: runs / seconds };
}

async function work(): Promise<WaitingRuns> {
  const late = new LateServer(Number(port));
  waitFor(late);
  const { runsPerSecond } = await produce(client, load, ThreeWaits);
  late.close();
  return { runsPerSecond, mostBodies: late.mostAtOnce };
}
