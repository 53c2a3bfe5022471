import { setImmediate } from 'node:timers/promises';

import { describe, expect, it } from '@jest/globals';

import { StreamLimitError } from '../core/errors/index.js';
import { MAX_STREAM_BYTES, MAX_STREAM_CHUNKS } from '../core/stream.js';
import type { ChunkAuthor } from '../engine/stream-port.js';
import { StreamBuffer } from './stream-buffer.js';

const GENERATION = 2 ** 32;

/** Returns a buffer for a pass that may have predecessors, and a function that appends chunks. */
function opened(generation = 0, recorded: readonly string[] = []) {
  const isRecorded = (stepKey: string): boolean => recorded.includes(stepKey);
  const buffer = new StreamBuffer('out', { generation, mayHaveChunks: true, isRecorded });
  const write = (author: ChunkAuthor, data = '1'): void => buffer.append({ stream: 'out', kind: 'data', data, author, accept: 'atOnce' });
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

  it('counts repeated writes of `run` once, so that a replay fits into a nearly full stream', () => {
    const { buffer, write } = opened();
    for (let position = 1; position <= 10; position++) write(byRun(position));
    buffer.know({ length: MAX_STREAM_CHUNKS - 1, bytes: MAX_STREAM_BYTES - 1, runPosition: 10, closedBy: undefined });
    write(byRun(11));
    expect(() => write(byRun(12))).toThrow(StreamLimitError);
    expect(buffer.take()).toMatchObject([{ runPosition: '11' }]);
  });

  it('refuses, when the lookup is over, what the stored part of the stream does not allow', async () => {
    const { buffer, write } = opened();
    const author = byStep('writer');
    buffer.lookup = Promise.resolve();
    const writes = [1, 2].map((data) => buffer.unchecked.add('step', () => write(author, String(data))));
    // A replay does not wait. Its chunk beyond the limit is dropped.
    for (let position = 1; position <= 5; position++) write(byRun(position));
    buffer.know({ length: MAX_STREAM_CHUNKS - 2, bytes: 0, runPosition: 2, closedBy: undefined });
    buffer.lookedUp();
    await expect(Promise.allSettled(writes)).resolves.toMatchObject([
      { status: 'rejected', reason: { code: 'STREAM_LIMIT' } },
      { status: 'rejected', reason: { code: 'STREAM_LIMIT' } },
    ]);
    expect(buffer.take()).toMatchObject([{ runPosition: '3' }, { runPosition: '4' }, { kind: 'reset', stepKey: 'writer' }]);
    const closed = opened(0, ['other']);
    closed.write(byRun(1));
    closed.buffer.know({ length: 2, bytes: 1, runPosition: 0, closedBy: 'other' });
    expect(closed.buffer.isEmpty).toBe(true);
  });

  it('resolves a flush when all earlier chunks are stored, and not before', async () => {
    const { buffer, write } = opened();
    write(byStep('writer'));
    let isResolved = false;
    const flushed = buffer.stored('step').then(() => (isResolved = true));
    // Repeated writes are known to be stored, and the chunk before them is not.
    for (let position = 1; position <= 10; position++) write(byRun(position));
    buffer.know({ length: 10, bytes: 10, runPosition: 10, closedBy: undefined });
    const chunks = buffer.take();
    expect(chunks).toMatchObject([{ kind: 'reset' }, { kind: 'data', stepKey: 'writer' }]);
    await setImmediate();
    expect(isResolved).toBe(false);
    buffer.noteStored(chunks);
    await flushed;
    await buffer.stored('step');
  });

  it.each([0, 1])('decides in a replay as in the first pass of generation %s', (generation) => {
    const { buffer, write } = opened(generation);
    buffer.know({ length: 3, bytes: 1, runPosition: generation * GENERATION + 2, closedBy: null });
    write(byRun(1, generation));
    write(byRun(2, generation));
    expect(() => write(byRun(3, generation))).toThrow('it was closed');
    expect(buffer.isEmpty).toBe(true);
  });

  it('stays closed by a step that has a result', () => {
    const { buffer, write } = opened(0, ['other']);
    buffer.know({ length: 2, bytes: 1, runPosition: 0, closedBy: 'other' });
    expect(() => write(byStep('writer'))).toThrow('it was closed');
  });
});
