import pg from 'pg';
import { startAsInstalled } from '../application.js';
import { measureUsage, type Usage } from '../meters.js';
import { ThreeSteps } from '../workflows.js';
import { endWithParent, tellParent, untilAsked } from './child.js';

/** Runs before the measurement, one after another: connections are open and statements prepared. */
const WARM_UP = 20;

/** Answer of this process. */
export interface ColdRuns {
  /** From the first start to the last completion. */
  readonly seconds: number;
  readonly usage: Usage;
}

/** Starts all runs at once and waits for the result of each. */
async function all(runs: number): Promise<number> {
  const began = performance.now();
  const one = async (n: number): Promise<void> => {
    const handle = await client.start(ThreeSteps, { n });
    if ((await handle.result()) !== n + 3) throw new Error(`run ${n} has ended with another result`);
  };
  await Promise.all(Array.from({ length: runs }, (_, n) => one(n)));
  return (performance.now() - began) / 1_000;
}

endWithParent();
const [, , url, runs, start] = process.argv;
const admin = new pg.Pool({ connectionString: url, max: 1 });
const { client, close } = await startAsInstalled(url!, start === 'poller' ? { eagerStart: false } : {});
for (let n = 0; n < WARM_UP; n++) await client.execute(ThreeSteps, { n });
await admin.query('SELECT 1');
const asked = untilAsked();
tellParent('ready');
await asked;
const { value: seconds, usage } = await measureUsage({ admin }, () => all(Number(runs)));
await close();
const answer: ColdRuns = { seconds, usage };
tellParent(answer);
