import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import type { World } from '../../src/world/index.js';
import { Database } from '../../src/store/database.js';
import { settingsOfUrl } from '../../src/store/connection-settings.js';
import { loadKit } from '../../src/world/kit.js';
import { StreamStore } from '../../src/world/store/stream-store.js';
import { StreamService } from '../../src/world/streams/stream-service.js';
import { StreamSignals } from '../../src/world/streams/stream-signals.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { waitFor } from '../support/wait.js';
import { kitFolder } from './support/kits.js';
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

  describe('and their readers in other processes', () => {
    let isCut = false;
    let listening: Database;
    let signals: StreamSignals;

    /** Database whose direct connection can be kept from coming back. */
    class Cuttable extends Database {
      override directClient(url?: string): ReturnType<Database['directClient']> {
        return super.directClient(isCut ? 'postgresql://127.0.0.1:1/nowhere' : url);
      }
    }

    const reader = (maxPollMs?: number): StreamService => {
      listening = new Cuttable(settingsOfUrl(database.url), { schema: 'durable_world', poolSize: 2 });
      signals = new StreamSignals(listening);
      return new StreamService(new StreamStore(listening), loadKit(kitFolder('beta5')), signals, maxPollMs);
    };
    const next = async (stream: ReadableStreamDefaultReader<Uint8Array>): Promise<string> =>
      Buffer.from((await stream.read()).value!).toString();

    afterEach(async () => {
      isCut = false;
      await signals.stop();
      await listening.close();
    });

    it('are told by LISTEN', async () => {
      // A reader that polls once in an hour depends on notifications.
      const service = reader(3_600_000);
      const [runId, name] = [newId(), `strm_${'long_'.repeat(60)}${newId()}`];
      await world.streams.write(runId, name, 'first');
      const stream = (await service.read(name, 0)).getReader();
      expect(await next(stream)).toBe('first');
      const pending = next(stream);
      await waitFor(() => signals.isListening);
      await world.streams.write(runId, name, 'second');
      expect(await pending).toBe('second');
      const end = stream.read();
      await world.streams.close(runId, name);
      expect((await end).done).toBe(true);
    });

    it('find a chunk after LISTEN has dropped, and are told again once it is back', async () => {
      const service = reader(200);
      const [runId, name] = [newId(), `strm_${newId()}`];
      const stream = (await service.read(name, 0)).getReader();
      const pending = next(stream);
      await waitFor(() => signals.isListening);
      isCut = true;
      await waitFor(async () => {
        await database.query(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'nestjs-durable'`,
        );
        return !signals.isListening;
      });
      await waitFor(() => world.streams.write(runId, name, 'without LISTEN').then(() => true));
      expect(await pending).toBe('without LISTEN');
      expect(signals.isListening).toBe(false);
      isCut = false;
      await waitFor(() => signals.isListening);
      await world.streams.write(runId, name, 'with LISTEN');
      // The write above is repeated when its connection was cut after the commit.
      expect(await waitFor(async () => (await next(stream)) === 'with LISTEN')).toBe(true);
      await stream.cancel();
    });

    it('find a chunk by polling behind a pooler, where nobody listens', async () => {
      const pooled = createTestWorld('beta5', { databaseUrl: database.url, pooler: 'transaction' });
      const service = reader();
      const [runId, name] = [newId(), `strm_${newId()}`];
      const stream = (await pooled.streams.get(runId, name)).getReader();
      const pending = next(stream);
      await service.write(name, runId, ['polled']);
      expect(await pending).toBe('polled');
      await stream.cancel();
      await pooled.close();
    });
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
