import { open, rm, type FileHandle } from 'node:fs/promises';

import type { StepRecord } from '../../core/step.js';
import { readExportedHead } from '../../client/queries/exported-history.js';
import { readSteps } from '../../store/sql/read-steps.js';
import type { Connection } from '../connection.js';
import { CommandError } from '../errors.js';
import { EXIT } from '../exit-codes.js';
import { jsonText } from '../json.js';
import type { Action } from '../action.js';

/** Steps and bytes of results per page. */
const PAGE = { limit: 1_000, bytes: 16 << 20 };

/** Writes the history of a run as JSON. Writes steps in pages, because a run may have many. */
export const exportRun: Action = async ({ given, io, printer, connect }) => {
  const [named = ''] = given.positionals;
  const connection = await connect();
  const { runId } = await connection.client.describe(named, { follow: !given.has('exact') });
  const path = given.text('output');
  const file = path === undefined ? undefined : await create(path);
  const write = async (text: string): Promise<void> => {
    await (file ? file.write(text) : io.write(text));
  };
  try {
    const steps = await writeHistory(connection, runId, write, (count) => printer.progress(`${count} steps ...`));
    if (path !== undefined) printer.note(`wrote ${steps} steps of run "${runId}" to ${path}`);
  } catch (error) {
    if (path !== undefined) await rm(path, { force: true });
    throw error;
  } finally {
    await file?.close();
  }
  return EXIT.ok;
};

async function create(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'wx', 0o600);
  } catch (cause) {
    throw new CommandError('FILE', `cannot create the file: ${(cause as Error).message}`, EXIT.failed, { cause });
  }
}

async function writeHistory(
  { database }: Connection,
  runId: string,
  write: (text: string) => Promise<void>,
  progress: (steps: number) => void,
): Promise<number> {
  const { head, waits } = await readExportedHead(database, runId);
  await write(`${jsonText(head).slice(0, -1)},\n"history":{"waits":${jsonText(waits)},\n"steps":[`);
  let count = 0;
  for (
    let page: StepRecord[], after = 0;
    (page = await readSteps(database, runId, { after, ...PAGE })).length > 0;
    after = page.at(-1)!.seq
  ) {
    for (const step of page) await write(`${count++ === 0 ? '\n' : ',\n'}${jsonText(step)}`);
    progress(count);
  }
  await write(`\n]}}\n`);
  return count;
}
