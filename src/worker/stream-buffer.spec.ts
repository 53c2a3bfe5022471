import { describe, expect, it } from '@jest/globals';

import type { ChunkAuthor } from '../engine/stream-port.js';
import { StreamBuffer } from './stream-buffer.js';

const GENERATION = 2 ** 32;

/** Returns a buffer for a pass that may have predecessors, and a function that appends chunks. */
function opened(generation = 0, recorded: readonly string[] = []) {
  const isRecorded = (stepKey: string): boolean => recorded.includes(stepKey);
  const buffer = new StreamBuffer('out', { generation, mayHaveChunks: true, isRecorded });
  const write = (author: ChunkAuthor, data = '1'): number => buffer.append({ stream: 'out', kind: 'data', data, author });
  return { buffer, write };
}

const byRun = (position: number, generation = 0): ChunkAuthor => ({ by: 'run', generation, position });

const byStep = (stepKey: string, execution = {}): ChunkAuthor => ({ by: 'step', stepKey, attempt: 1, execution });

describe('the buffer of a stream', () => {
  it('stays open for `run` when an operator retries the run that had closed the stream', () => {
    const { buffer, write } = opened(1);
    write(byRun(1, 1));
    buffer.know({ length: 2, bytes: 1, runPosition: 2, closedBy: null });
    write(byRun(2, 1));
    expect(buffer.take()).toMatchObject([
      { kind: 'reset', runPosition: String(GENERATION) },
      { kind: 'data', runPosition: String(GENERATION + 1) },
      { kind: 'data', runPosition: String(GENERATION + 2) },
    ]);
  });

  it('is reopened for other authors when the author of the end is executed again', () => {
    const { buffer, write } = opened(1, ['other']);
    write(byStep('writer'));
    buffer.know({ length: 2, bytes: 1, runPosition: 2, closedBy: null });
    write(byRun(1, 1));
    expect(buffer.take()).toMatchObject([
      { kind: 'reset', stepKey: 'writer' },
      { kind: 'data', stepKey: 'writer' },
      { kind: 'reset', stepKey: null, runPosition: String(GENERATION) },
      { kind: 'data', stepKey: null },
    ]);
    const second = opened(0, ['other']);
    second.write(byStep('writer'));
    second.buffer.know({ length: 2, bytes: 1, runPosition: 0, closedBy: 'executed again' });
    second.write(byStep('writer'));
    expect(second.buffer.take()[2]).toMatchObject({ kind: 'reset', stepKey: 'executed again' });
  });

  it('stays closed by a step that has a result', () => {
    const { buffer, write } = opened(0, ['other']);
    buffer.know({ length: 2, bytes: 1, runPosition: 0, closedBy: 'other' });
    expect(() => write(byStep('writer'))).toThrow('it was closed');
  });
});
