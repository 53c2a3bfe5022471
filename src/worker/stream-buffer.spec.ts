import { describe, expect, it } from '@jest/globals';

import type { ChunkAuthor } from '../engine/stream-port.js';
import { StreamBuffer } from './stream-buffer.js';

const GENERATION = 2 ** 32;

/** Returns a buffer for a pass that may have predecessors, and a function that appends chunks. */
function opened() {
  const buffer = new StreamBuffer('out', true);
  const write = (author: ChunkAuthor, data = '1'): number => buffer.append({ stream: 'out', kind: 'data', data, author });
  return { buffer, write };
}

const byRun = (position: number, generation = 0): ChunkAuthor => ({ by: 'run', generation, position });

describe('the buffer of a stream', () => {
  it('stays open for `run` when an operator retries the run that had closed the stream', () => {
    const { buffer, write } = opened();
    write(byRun(1, 1));
    buffer.know({ length: 2, bytes: 1, runPosition: 2, closedBy: null });
    write(byRun(2, 1));
    expect(buffer.take()).toMatchObject([
      { kind: 'reset', runPosition: String(GENERATION) },
      { kind: 'data', runPosition: String(GENERATION + 1) },
      { kind: 'data', runPosition: String(GENERATION + 2) },
    ]);
  });
});
