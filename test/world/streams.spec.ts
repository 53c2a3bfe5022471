import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import type { World } from '../../src/world/index.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { waitFor } from '../support/wait.js';
import { bytes, createTestWorld, newId, refusalOf } from './support/test-world.js';

describe('streams of a World', () => {
  let database: TestDatabase;
  let world: World;
  let other: World;

  beforeAll(async () => {
    database = await createTestDatabase();
    world = createTestWorld('beta5', { databaseUrl: database.url });
    other = createTestWorld('stable', { databaseUrl: database.url });
  });

  afterAll(async () => {
    await world.close();
    await other.close();
    await database.drop();
  });

  const readAll = async (stream: ReadableStream<Uint8Array>): Promise<string[]> => {
    const texts: string[] = [];
    for await (const chunk of stream) texts.push(Buffer.from(chunk).toString());
    return texts;
  };

  it('lose no chunk of two writers in two processes, for a live reader', async () => {
    const [runId, name] = [newId(), `strm_${newId()}`];
    const reading = world.streams.get(runId, name).then(readAll);
    const write = async (from: World, letter: string): Promise<void> => {
      for (let index = 0; index < 50; index++) await from.writeToStream(name, Promise.resolve(runId), `${letter}${index}`);
    };
    await Promise.all([write(world, 'a'), write(other, 'b')]);
    await other.closeStream(name, runId);
    await other.closeStream(name, runId);
    await world.streams.write(runId, name, 'too late');
    const texts = await reading;
    for (const letter of ['a', 'b']) {
      const own = texts.filter((text) => text.startsWith(letter));
      expect(own).toEqual(Array.from({ length: 50 }, (_, index) => `${letter}${index}`));
    }
    expect(texts).toHaveLength(100);
    expect(await world.streams.getInfo(runId, name)).toEqual({ tailIndex: 99, done: true });
  });

  it('are read from an index, from the end, and in pages', async () => {
    const [runId, name] = [newId(), `strm_${newId()}`];
    expect(await world.streams.getInfo(runId, name)).toEqual({ tailIndex: -1, done: false });
    await world.streams.writeMulti(runId, name, ['a', bytes(), 'c', 'd']);
    await world.streams.close(runId, name);
    expect(await readAll(await world.streams.get(runId, name, 2))).toEqual(['c', 'd']);
    expect(await readAll(await world.streams.get(runId, name, -1))).toEqual(['d']);
    expect(await readAll(await world.streams.get(runId, name, -9))).toEqual(['a', '', 'c', 'd']);
    expect(await readAll(await world.streams.get(runId, name, 99))).toEqual([]);
    const first = await other.getStreamChunks(name, runId, { limit: 3 });
    expect(first).toMatchObject({ hasMore: true, done: true, data: [{ index: 0 }, { index: 1 }, { index: 2 }] });
    expect(await other.getStreamChunks(name, runId, { cursor: first.cursor! })).toMatchObject({ hasMore: false, data: [{ index: 3 }] });
    expect(await world.streams.list(runId)).toEqual([name]);
    expect(await refusalOf(world.streams.write(runId, name, 7 as unknown as string))).toEqual({ name: 'WorkflowWorldError', status: 400 });
  });

  it('are read on after the database has cut the connections', async () => {
    const [runId, name] = [newId(), `strm_${newId()}`];
    await world.streams.write(runId, name, 'before');
    const reader = (await world.streams.get(runId, name)).getReader();
    expect((await reader.read()).value).toEqual(new Uint8Array(Buffer.from('before')));
    const next = reader.read();
    await database.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'nestjs-durable'`,
    );
    await waitFor(() => other.writeToStream(name, runId, 'after').then(() => true));
    expect((await next).value).toEqual(new Uint8Array(Buffer.from('after')));
    await reader.cancel();
  });

  it('end for a reader when they are removed', async () => {
    const [runId, name] = [newId(), `strm_${newId()}`];
    await world.streams.write(runId, name, 'one');
    const reading = readAll(await world.streams.get(runId, name));
    await database.query('DELETE FROM durable_world.world_chunks WHERE name = $1', [name]);
    await database.query('DELETE FROM durable_world.world_streams WHERE name = $1', [name]);
    expect((await reading).length).toBeLessThanOrEqual(1);
  });

  it('fail for a reader that waits when the World closes', async () => {
    const closing = createTestWorld('beta5', { databaseUrl: database.url });
    const reader = (await closing.streams.get(newId(), `strm_${newId()}`)).getReader();
    const next = refusalOf(reader.read());
    await closing.close();
    await closing.close();
    expect(await next).toMatchObject({ name: 'WorkflowWorldError', status: 503 });
  });
});
