import pg from 'pg';
import { startAsInstalled } from '../application.js';
import { LargeSteps } from '../large-steps.js';
import { measureUsage, type Usage } from '../meters.js';
import { produce, produceAtOnce, type Load, type Produced } from '../produce.js';
import { ThreeSteps, WORKFLOWS } from '../workflows.js';
import { endWithParent, nextQuestion, tellParent } from './child.js';

/** Work of this process, each time that the parent asks. */
export type InstalledLoad =
  | { readonly form: 'at once'; readonly runs: number }
  | ({ readonly form: 'sustained'; readonly workflow: 'three-steps' | 'large-steps' } & Load);

/** Answer of this process. */
export interface InstalledWork extends Produced {
  readonly usage: Usage;
}

/** Number of runs before the first measurement: connections open, and statements are prepared. */
const WARM_UP = 20;

endWithParent();
const [, , url, start, json] = process.argv;
const load = JSON.parse(json!) as InstalledLoad;
const admin = new pg.Pool({ connectionString: url, max: 1 });
const options = start === 'poller' ? { eagerStart: false } : {};
const { client } = await startAsInstalled(url!, options, [...WORKFLOWS, LargeSteps]);
const work = (): Promise<Produced> =>
  load.form === 'at once'
    ? produceAtOnce(client, load.runs)
    : produce(client, load, load.workflow === 'three-steps' ? ThreeSteps : LargeSteps);

for (let n = 0; n < WARM_UP; n++) await client.execute(ThreeSteps, { n });
tellParent('ready');
for (;;) {
  await nextQuestion();
  const { value, usage } = await measureUsage({ admin }, work);
  const answer: InstalledWork = { ...value, usage };
  tellParent(answer);
}
