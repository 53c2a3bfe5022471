import { startApplication } from '../application.js';
import { LostRuns, stuckIn } from '../recovery-workflow.js';
import { endWithParent, tellParent } from './child.js';

endWithParent();
const [, , url, runs] = process.argv;
const stuck = stuckIn(Number(runs));
const { client } = await startApplication(url!, { concurrency: 100 }, [LostRuns]);
const handles = await Promise.all(Array.from({ length: Number(runs) }, (_, n) => client.start(LostRuns, { n })));
await stuck;
tellParent(handles.map(({ runId }) => runId));
