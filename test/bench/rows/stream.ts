import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

import { Workflow, type WorkflowContext, type WorkflowHandle } from 'nestjs-durable';
import { startApplication, startClient } from '../application.js';
import type { Bench } from '../bench.js';
import { percentile } from '../statistics.js';

const READERS = 100;
const IDLE_READERS = 1_000;

/** Times at which chunks were known to be durable, by run and chunk. */
const durable = new Map<string, number[]>();
let finish: (() => void) | undefined;

/** Writes chunks one by one, each as soon as the former is durable, or as fast as it can. */
@Workflow({ name: 'streaming' })
class Streaming {
  async run({ chunks, pace }: { chunks: number; pace: 'one by one' | 'fast' | 'never ends' }, ctx: WorkflowContext): Promise<number> {
    return ctx.step('write', async () => {
      const out = ctx.stream<{ n: number; token: string }>();
      const times: number[] = [];
      durable.set(ctx.runId, times);
      const began = performance.now();
      for (let n = 0; n < chunks; n++) {
        await out.write({ n, token: 'a token of some length' });
        if (pace !== 'one by one') continue;
        await out.flush();
        times.push(performance.now());
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      await out.flush();
      if (pace === 'never ends') await new Promise<void>((resolve) => (finish = resolve));
      return performance.now() - began;
    });
  }
}

/**
 * Streams that a client without a worker reads over connections of its own: the time from the
 * commit of a chunk to its reader, one writer with 100 readers, and memory of idle readers.
 */
export async function stream({ server, quick, say }: Bench) {
  const database = await server.createDatabase();
  const writer = await startApplication(database.url, {}, [Streaming]);
  const reader = await startClient(database.url);
  try {
    await latencies(await writer.client.start(Streaming, { chunks: 50, pace: 'one by one' }), reader.client);
    const handle = await writer.client.start(Streaming, { chunks: quick ? 300 : 1_500, pace: 'one by one' });
    const late = await latencies(handle, reader.client);
    const chunks = quick ? 5_000 : 50_000;
    const began = performance.now();
    const fast = await writer.client.start(Streaming, { chunks, pace: 'fast' });
    const counts = await Promise.all(Array.from({ length: READERS }, () => countOf(reader.client.getHandle(fast.runId))));
    const deliveredMs = performance.now() - began;
    if (counts.some((count) => count !== chunks)) throw new Error(`a reader has got ${Math.min(...counts)} of ${chunks} chunks`);
    const writtenMs = await fast.result();
    const bytesPerIdleReader = await idleReaders(await writer.client.start(Streaming, { chunks: 1, pace: 'never ends' }), reader.client);
    const result = {
      p50: percentile(late, 0.5),
      p95: percentile(late, 0.95),
      chunksPerSecond: (chunks / writtenMs) * 1_000,
      deliveredPerSecond: ((chunks * READERS) / deliveredMs) * 1_000,
      bytesPerIdleReader,
    };
    say(
      `stream: commit to reader p50 ${result.p50.toFixed(2)} ms, p95 ${result.p95.toFixed(2)} ms; one writer ${result.chunksPerSecond.toFixed(0)} ` +
        `chunks/s, ${READERS} readers ${result.deliveredPerSecond.toFixed(0)} chunks/s; ${result.bytesPerIdleReader.toFixed(0)} bytes per idle reader`,
    );
    return { stream: result };
  } finally {
    finish?.();
    await reader.close();
    await writer.close();
    await database.drop();
  }
}

interface Handles {
  getHandle(runId: string): WorkflowHandle;
}

/** Milliseconds from the answer to the commit of each chunk until a reader has the chunk. */
async function latencies({ runId }: WorkflowHandle<number>, client: Handles): Promise<number[]> {
  const arrived: number[] = [];
  for await (const { n } of client.getHandle(runId).stream<{ n: number }>()) arrived[n] = performance.now();
  const times = durable.get(runId)!;
  return arrived.map((at, n) => Math.max(0, at - times[n]!));
}

async function countOf(handle: WorkflowHandle): Promise<number> {
  let next = 0;
  for await (const { n } of handle.stream<{ n: number }>()) if (n === next) next++;
  return next;
}

/** Heap of a reader that waits for its next chunk. */
async function idleReaders({ runId }: WorkflowHandle<number>, client: Handles): Promise<number> {
  const iterators = Array.from({ length: IDLE_READERS }, () => client.getHandle(runId).stream()[Symbol.asyncIterator]());
  const before = heapUsed();
  await Promise.all(iterators.map((each) => each.next()));
  const waiting = iterators.map((each) => each.next());
  await new Promise((resolve) => setTimeout(resolve, 200));
  const used = heapUsed() - before;
  for (const each of iterators) await each.return?.();
  await Promise.all(waiting);
  return used / IDLE_READERS;
}

function heapUsed(): number {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  return process.memoryUsage().heapUsed;
}
