import { EXIT } from '../exit-codes.js';
import { filterOf } from '../filters.js';
import { sinceOf, shortTime } from '../times.js';
import { statusSegment } from '../status-style.js';
import type { Action } from '../action.js';

/** Lists a page of runs, or counts the runs. */
export const runs: Action = async ({ given, printer, connect }) => {
  const limit = given.number('limit');
  const cursor = given.text('cursor');
  const { client, clock } = await connect();
  const filter = filterOf(given, clock.now());
  if (given.has('count')) {
    const count = await client.count(filter);
    await printer.result(String(count), { count });
    return EXIT.ok;
  }
  const page = await client.list({ ...filter, limit, cursor });
  if (printer.isJson) {
    await printer.document(page);
    return EXIT.ok;
  }
  const now = clock.now();
  await printer.table(
    ['RUN', 'WORKFLOW', 'STATUS', 'QUEUE', 'CREATED', 'AGE', 'DETAIL'],
    page.runs.map((run) => [
      run.runId,
      `${run.name} v${run.version}`,
      statusSegment(run.status, run.blocked),
      run.queue,
      shortTime(run.createdAt),
      sinceOf(run.createdAt, run.finishedAt?.getTime() ?? now),
      detailOf(run),
    ]),
  );
  if (page.cursor !== undefined) printer.note(`more runs: add --cursor ${page.cursor}`);
  return EXIT.ok;
};

function detailOf(run: {
  errorCode: string | undefined;
  failedStep: string | undefined;
  wakeAt: Date | undefined;
  cancelRequestedAt: Date | undefined;
  continuedAs: string | undefined;
}): string {
  if (run.errorCode !== undefined) return run.failedStep === undefined ? run.errorCode : `${run.errorCode} in step ${run.failedStep}`;
  if (run.continuedAs !== undefined) return `continued as ${run.continuedAs}`;
  if (run.cancelRequestedAt !== undefined) return `asked to stop ${shortTime(run.cancelRequestedAt)}`;
  return run.wakeAt === undefined ? '' : `until ${shortTime(run.wakeAt)}`;
}
