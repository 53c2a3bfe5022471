import { setImmediate } from 'node:timers/promises';

import { expect, it } from '@jest/globals';

import type { OwnedRun } from '../core/run.js';
import type { ChunkAuthor, WrittenChunk } from '../engine/stream-port.js';
import type { Journal } from '../store/journal.js';
import { RunStreams } from './run-streams.js';

const chunk = (author: ChunkAuthor, data: string, accept: WrittenChunk['accept']): WrittenChunk => ({
  stream: 'out',
  kind: 'data',
  data,
  author,
  accept,
});

it('a write of a step ends when the run leaves during the lookup, even if the buffer of the run is full', async () => {
  const run = { id: 'run', epoch: 2 } as OwnedRun;
  const journal = { isFull: false } as Journal;
  const services = { journal, readEnd: () => new Promise<undefined>(() => {}), streamed: () => undefined };
  const streams = new RunStreams(run, services, { generation: 0, mayHaveChunks: true, isRecorded: () => false }, () => undefined);
  const large = JSON.stringify('x'.repeat(2 << 20));
  void streams.write(chunk({ by: 'run', generation: 0, position: 1 }, large, 'atOnce'));
  let hasEnded = false;
  const written = streams.write(chunk({ by: 'step', stepKey: 'writer', attempt: 1, execution: {} }, '1', 'checked'));
  void written.then(() => (hasEnded = true));
  await setImmediate();
  expect(hasEnded).toBe(false);
  streams.close();
  await setImmediate();
  expect(hasEnded).toBe(true);
});
