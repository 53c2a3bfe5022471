import { randomBytes } from 'node:crypto';

import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { EncryptedPayloads } from '../../../sample/06-encrypted-payloads/payload-codec.js';
import type { WorkflowRuntime } from '../../../src/host/runtime.js';
import { WORKFLOW_RUNTIME } from '../../../src/nest/tokens.js';
import { MAX_STREAM_BYTES } from '../../../src/core/stream.js';
import { currentStep, defineSignal, Workflow, type WorkflowContext, type WorkflowModuleOptions } from '../../../src/index.js';
import { closeApplications, startApplication, type TestApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { waitFor } from '../../support/wait.js';

const next = defineSignal<number>('next');

/** Writes the codes of the errors that its writes have thrown. */
@Workflow({ name: 'beyond limits' })
class BeyondLimits {
  async run(_input: void, ctx: WorkflowContext): Promise<unknown[]> {
    const code = (work: Promise<void>): Promise<unknown> =>
      work.then(
        () => 'written',
        (error: { code?: string }) => error.code,
      );
    const written = await ctx.step('write', async () => {
      const out = currentStep().stream('bounded');
      const codes = [await code(out.write('x'.repeat(300 << 10))), await code(out.write(() => 1)), await code(out.write('fits'))];
      for (let written = 0; written < 256; written++) {
        const outcome = await code(out.write('y'.repeat((256 << 10) - 2)));
        if (outcome !== 'written') {
          codes.push(outcome);
          break;
        }
      }
      for (let count = 0; count < 99; count++) await currentStep().stream(`stream ${count}`).write(count);
      codes.push(await code(currentStep().stream('one more').write(1)));
      return codes;
    });
    const again = await ctx.step('write again', { retry: { maxAttempts: 2, initialInterval: 1 } }, async () => {
      if (currentStep().attempt === 1) throw new Error('once');
      const out = currentStep().stream('bounded');
      return [await code(out.write('y'.repeat((256 << 10) - 2))), await code(out.flush())];
    });
    return [...written, ...again];
  }
}

let kept: { write(value: unknown): Promise<void> } | undefined;

@Workflow({ name: 'writes late' })
class WritesLate {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    await ctx.step('body', async () => {
      kept = currentStep().stream();
      await kept.write('in time');
    });
  }
}

/** Writes so much that the buffer of its run is full before the database has stored anything. */
@Workflow({ name: 'floods' })
class Floods {
  async run(count: number, ctx: WorkflowContext): Promise<boolean[]> {
    return ctx.step('flood', async () => {
      const out = ctx.stream<string>('flood');
      const waited: boolean[] = [];
      for (let index = 0; index < count; index++) {
        let settled = false;
        const written = out.write('z'.repeat(100_000)).then(() => (settled = true));
        await Promise.resolve().then(() => undefined);
        for (let turn = 0; turn < 10; turn++) await Promise.resolve();
        waited.push(!settled);
        await written;
      }
      return waited;
    });
  }
}

@Workflow({ name: 'numbers' })
class Numbers {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    const out = ctx.stream<number>();
    for (let number = 0; number >= 0;) {
      number = await ctx.waitForSignal(next);
      await out.write(number);
    }
  }
}

/** Ends at once after many writes that it does not await. */
@Workflow({ name: 'hurries' })
class Hurries {
  async run(count: number, ctx: WorkflowContext): Promise<void> {
    await ctx.step('body', () => {
      for (let index = 0; index < count; index++) void currentStep().stream('body').write(index);
    });
    for (let index = 0; index < count; index++) void ctx.stream('run').write(index);
  }
}

let isRepaired = false;

/** Fails until it is repaired, and then writes something else. */
@Workflow({ name: 'repaired' })
class Repaired {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    const out = ctx.stream<string>();
    await out.write('begins');
    await ctx.step('first', () => out.write('first'));
    const worked = await ctx.step('second', { retry: { maxAttempts: 1 } }, () => isRepaired);
    await out.write(worked ? 'worked' : 'did not work');
    await out.write('over');
    if (!worked) await ctx.step('fail', { retry: { maxAttempts: 1 } }, () => Promise.reject(new Error('not yet')));
    await out.close();
  }
}

/** Closes its stream in each attempt. The first attempt then fails. */
@Workflow({ name: 'closes twice' })
class ClosesTwice {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    await ctx.step('body', { retry: { maxAttempts: 2, initialInterval: 500 } }, async () => {
      const { attempt } = currentStep();
      const out = currentStep().stream<string>();
      await out.write(`one of ${attempt}`);
      await out.flush();
      await out.write(`two of ${attempt}`);
      await out.close();
      if (attempt === 1) throw new Error('after the end');
    });
  }
}

let isMended = false;

/** Closes the stream of `run` in a step, and fails after that until it is mended. */
@Workflow({ name: 'closed by a step' })
class ClosedByStep {
  async run(_input: void, ctx: WorkflowContext): Promise<unknown> {
    const out = ctx.stream<string>();
    await out.write('begins');
    await out.flush();
    await out.write('goes on');
    await ctx.step('closing', async () => {
      await out.write('ends');
      await out.close();
    });
    const refusal = await out.write('too late').catch((error: { code?: string }) => error.code);
    await ctx.step('last', { retry: { maxAttempts: 1 } }, () => {
      if (!isMended) throw new Error('not yet');
    });
    return refusal;
  }
}

/** Closes one stream and fills another, and writes to both after a suspension. */
@Workflow({ name: 'writes after a wait' })
class WritesAfterAWait {
  async run(_input: void, ctx: WorkflowContext): Promise<unknown[]> {
    const codeOf = (error: { code?: string }): unknown => error.code;
    await ctx.step('before', async () => {
      await currentStep().stream('full').write('fits');
      await currentStep().stream('closed').write('fits');
      await currentStep().stream('closed').close();
    });
    await ctx.waitForSignal(next);
    const codes = await ctx.step('after', async () => {
      const [full, closed] = [currentStep().stream('full'), currentStep().stream('closed')];
      return Promise.all([full.write('x'.repeat(100)).catch(codeOf), closed.write('late').catch(codeOf)]);
    });
    await ctx.step('in a hurry', () => {
      void currentStep().stream('other').write('is not awaited');
    });
    await ctx.waitForSignal(next);
    return [...codes, await ctx.stream('closed').write('later').catch(codeOf)];
  }
}

/** Writes to one stream in many steps, and is suspended between them. */
@Workflow({ name: 'many steps' })
class ManySteps {
  async run(_input: void, ctx: WorkflowContext): Promise<number> {
    for (let number = 1; ; number++) {
      await ctx.step(`step ${number}`, () => currentStep().stream<number>().write(number));
      if ((await ctx.waitForSignal(next)) < 0) return number;
    }
  }
}

/** Events of the sources of `Pipes`. */
const sources: string[] = [];

/** Source of three words that fails after the second, or stays open. */
function words(attempt: number): ReadableStream<string> {
  const left = [`one of ${attempt}`, `two of ${attempt}`, `three of ${attempt}`];
  return new ReadableStream<string>({
    pull: (controller) => {
      if (attempt === 1 && left.length === 1) return controller.error(new Error('cut off'));
      const word = left.shift();
      if (word === undefined) controller.close();
      else controller.enqueue(word);
    },
  });
}

/** Source that never ends by itself. */
function endless(): ReadableStream<number> {
  let count = 0;
  return new ReadableStream<number>({
    pull: async (controller) => {
      await new Promise((resolve) => setTimeout(resolve, 5));
      controller.enqueue(count++);
    },
    cancel: () => void sources.push('cancelled'),
  });
}

/** Writes whole sources, in `run` and in steps. */
@Workflow({ name: 'pipes' })
class Pipes {
  async run(_input: void, ctx: WorkflowContext): Promise<unknown> {
    const counted = await ctx.stream<number>('run').writeAll(
      (async function* () {
        yield 1;
        yield 2;
      })(),
    );
    const said = await ctx.step('say', { retry: { maxAttempts: 2, initialInterval: 1 } }, () =>
      currentStep().stream<string>('step').writeAll(words(currentStep().attempt)),
    );
    const refusal = await ctx
      .stream('run')
      .writeAll(7 as never)
      .catch((error: { code?: string }) => error.code);
    const late = await ctx
      .step('late', { retry: { maxAttempts: 1 }, timeout: 100 }, () => currentStep().stream<number>('late').writeAll(endless()))
      .catch((error: { cause?: { code?: string } }) => error.cause?.code);
    return { counted, said, refusal, late };
  }
}

describe('streams', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(closeApplications);
  afterAll(() => database.drop());

  const start = (options: Omit<WorkflowModuleOptions, 'connection'> = { worker: {} }): Promise<TestApplication> =>
    startApplication(
      database.url,
      [BeyondLimits, WritesLate, Floods, Numbers, Hurries, Repaired, ClosesTwice, ClosedByStep, WritesAfterAWait, ManySteps, Pipes],
      options,
    );

  it('refuse chunks and streams beyond the limits by typed errors, and the run goes on', async () => {
    const { client } = await start();
    const written = ['PAYLOAD_TOO_LARGE', 'SERIALIZATION', 'written', 'STREAM_LIMIT', 'STREAM_LIMIT'];
    // After a limit, a flush still resolves.
    expect(await client.execute(BeyondLimits)).toEqual([...written, 'STREAM_LIMIT', 'written']);
  });

  it('keep their limits and their end when a pass has not looked them up yet', async () => {
    const { client } = await start({ worker: { suspendAfter: 0 } });
    const handle = await client.start(WritesAfterAWait);
    const isWaiting = async (): Promise<boolean> => (await handle.status()) === 'waiting';
    await waitFor(isWaiting);
    await database.query(`UPDATE durable.workflow_stream_chunks SET stream_bytes = $2 WHERE run_id = $1 AND stream = 'full'`, [
      handle.runId,
      MAX_STREAM_BYTES - 50,
    ]);
    await handle.signal(next, 1);
    await waitFor(async () => (await client.streams(handle.runId)).length === 3 && (await isWaiting()));
    await handle.signal(next, 2);
    expect(await handle.result()).toEqual(['STREAM_LIMIT', 'STREAM_CLOSED', 'STREAM_CLOSED']);
    expect(await client.streams(handle.runId)).toMatchObject([
      { name: 'closed', length: 2, state: 'closed' },
      { name: 'full', length: 1 },
      { name: 'other', length: 1 },
    ]);
  });

  it('get no reset from a step that has not been executed before', async () => {
    const { client } = await start({ worker: { suspendAfter: 0 } });
    const handle = await client.start(ManySteps);
    const count = Number(process.env['MANY_STEPS'] ?? 10);
    for (let number = 1; number <= count; number++) {
      await waitFor(async () => (await handle.status()) === 'waiting');
      await handle.signal(next, number === count ? -1 : number);
    }
    expect(await handle.result()).toBe(count);
    expect(await client.streams(handle.runId)).toMatchObject([{ length: count }]);
    const values: unknown[] = [];
    for await (const value of handle.stream()) values.push(value);
    expect(values).toEqual(Array.from({ length: count }, (_, index) => index + 1));
  });

  it('tell their readers when retention has removed the chunks', async () => {
    const { client } = await start({ worker: {}, streams: { retention: { completed: '1m' } } });
    const handle = await client.start(Hurries, 3);
    await handle.result();
    await database.query(`UPDATE durable.workflow_runs SET finished_at = now() - interval '2 minutes' WHERE id = $1`, [handle.runId]);
    const states = async (): Promise<string[]> => (await client.streams(handle.runId)).map(({ state }) => state);
    await waitFor(async () => (await states()).every((state) => state === 'expired'));
    expect(await client.streams(handle.runId)).toMatchObject([
      { name: 'body', length: 3 },
      { name: 'run', length: 3 },
    ]);
    for (const from of [0, 2, -1]) {
      const reader = handle.stream('body', { from })[Symbol.asyncIterator]();
      await expect(reader.next()).rejects.toMatchObject({ code: 'STREAM_EXPIRED', stream: 'body', next: 3 });
      expect(await reader.next()).toMatchObject({ done: true });
    }
    // A reader that has received all chunks has lost nothing.
    expect(await handle.stream('body', { from: 3 })[Symbol.asyncIterator]().next()).toMatchObject({ done: true });
    expect(await handle.stream('never written')[Symbol.asyncIterator]().next()).toMatchObject({ done: true });
    await client.delete(handle.runId);
    expect(await database.query('SELECT 1 FROM durable.workflow_stream_chunks WHERE run_id = $1', [handle.runId])).toEqual([]);
  });

  it('store a whole source, begin again when the source fails, and close a source that outlives its attempt', async () => {
    const { client } = await start();
    const handle = await client.start(Pipes);
    const said = ['one of 2', 'two of 2', 'three of 2'];
    expect(await handle.result()).toEqual({ counted: [1, 2], said, refusal: 'INVALID_INPUT', late: 'STEP_TIMEOUT' });
    for (const [name, expected] of [
      ['run', [1, 2]],
      ['step', said],
    ] as const) {
      const values: unknown[] = [];
      for await (const value of handle.stream(name)) values.push(value);
      expect(values).toEqual(expected);
    }
    await waitFor(() => sources.includes('cancelled'));
  });

  it('take nothing from a body whose attempt is over', async () => {
    const { client } = await start();
    const handle = await client.start(WritesLate);
    await handle.result();
    await expect(kept!.write('too late')).rejects.toMatchObject({ code: 'STREAM_CLOSED' });
    expect(await client.streams(handle.runId)).toMatchObject([{ name: 'default', length: 1 }]);
  });

  it('have all chunks when the result of the step, or of the run, is there', async () => {
    const { client } = await start();
    const handle = await client.start(Hurries, 3_000);
    await handle.result();
    for (const name of ['body', 'run']) {
      const values: unknown[] = [];
      for await (const value of handle.stream(name)) values.push(value);
      expect(values).toEqual(Array.from({ length: 3_000 }, (_, index) => index));
    }
  });

  it('replace the chunks of run() and of repeated steps when an operator retries the run', async () => {
    const { client } = await start();
    const handle = await client.start(Repaired);
    await expect(handle.result()).rejects.toMatchObject({ name: 'WorkflowFailedError' });
    isRepaired = true;
    await client.retry(handle.runId, { fromStep: 'second' });
    await handle.result();
    const values: unknown[] = [];
    for await (const value of handle.stream()) values.push(value);
    expect(values).toEqual(['first', 'begins', 'worked', 'over']);
    expect(await client.streams(handle.runId)).toMatchObject([{ state: 'closed' }]);
  });

  it('are written again by a step that has closed its stream in an earlier pass', async () => {
    const { client } = await start({ worker: { suspendAfter: 30 } });
    const handle = await client.start(ClosesTwice);
    await handle.result();
    const values: unknown[] = [];
    for await (const value of handle.stream()) values.push(value);
    expect(values).toEqual(['one of 2', 'two of 2']);
    expect(await client.streams(handle.runId)).toMatchObject([{ state: 'closed' }]);
  });

  it.each(['closing', 'last'])('keep the order of their writers when an operator retries from step "%s"', async (fromStep) => {
    isMended = false;
    const { client } = await start();
    const handle = await client.start(ClosedByStep);
    await expect(handle.result()).rejects.toMatchObject({ name: 'WorkflowFailedError' });
    isMended = true;
    await client.retry(handle.runId, { fromStep });
    expect(await handle.result()).toBe('STREAM_CLOSED');
    const values: unknown[] = [];
    for await (const value of handle.stream()) values.push(value);
    expect(values).toEqual(['begins', 'goes on', 'ends']);
    expect(await client.streams(handle.runId)).toMatchObject([{ state: 'closed' }]);
  });

  it('make a writer wait while a megabyte is not stored yet', async () => {
    const { client } = await start();
    const waited = await client.execute(Floods, 30);
    expect(waited.slice(0, 10)).toEqual(Array(10).fill(false));
    expect(waited).toContain(true);
  });

  it('are encrypted by the payload codec', async () => {
    const codec = new EncryptedPayloads(new Map([['key', randomBytes(32)]]), 'key');
    const { client } = await start({ worker: {}, payloads: { codec } });
    const handle = await client.start(Numbers);
    await handle.signal(next, -4711);
    await handle.result();
    const [row] = await database.query<{ data: unknown }>('SELECT data FROM durable.workflow_stream_chunks WHERE run_id = $1', [
      handle.runId,
    ]);
    expect(row!.data).toMatchObject({ $durable: 'encoded' });
    for await (const value of handle.stream()) expect(value).toBe(-4711);
  });

  it.each([
    ['by notifications', {}],
    ['by polling', { listen: false }],
  ])('reach a reader in another process %s, and a reader that stops frees everything', async (_, options) => {
    const writer = await start({ worker: {}, ...options });
    const reader = await start({ worker: false, ...options });
    const handle = await writer.client.start(Numbers);
    const far = reader.client.getHandle(Numbers, handle.runId);
    const slow = far.stream<number>()[Symbol.asyncIterator]();
    const fast = far.stream<number>()[Symbol.asyncIterator]();
    for (let number = 1; number <= 5; number++) {
      const value = fast.next();
      await handle.signal(next, number);
      expect(await value).toEqual({ done: false, value: number });
    }
    expect(await slow.next()).toEqual({ done: false, value: 1 });
    const pending = fast.next();
    await fast.return!();
    expect(await pending).toEqual({ done: true, value: undefined });
    await handle.signal(next, -1);
    const rest: number[] = [];
    for (let result = await slow.next(); !result.done; result = await slow.next()) rest.push(result.value);
    expect(rest).toEqual([2, 3, 4, 5, -1]);
  });

  it('are read by a thousand readers of a process over one connection at a time, even when one of them is slow', async () => {
    const writer = await start({ worker: {} });
    const reader = await start({ worker: false });
    const { database: connected } = reader.module.get<WorkflowRuntime>(WORKFLOW_RUNTIME, { strict: false });
    const inFlight = { now: 0, most: 0, all: 0 };
    const query = connected.query.bind(connected);
    connected.query = async (...args) => {
      const isRead = args[0].name === 'durable_read_chunks';
      if (isRead) inFlight.most = Math.max(inFlight.most, ++inFlight.now);
      if (isRead) inFlight.all++;
      return query<never>(...args).finally(() => isRead && inFlight.now--);
    };
    const handle = await writer.client.start(Numbers);
    const far = reader.client.getHandle(Numbers, handle.runId);
    const slow = far.stream<number>()[Symbol.asyncIterator]();
    const readers = Array.from({ length: 1_000 }, () => far.stream<number>()[Symbol.asyncIterator]());
    const rounds = 5;
    for (let number = 1; number <= rounds; number++) {
      const values = readers.map((each) => each.next());
      await handle.signal(next, number);
      if (number === 1) expect(await slow.next()).toEqual({ done: false, value: 1 });
      expect(new Set((await Promise.all(values)).map(({ value }) => value))).toEqual(new Set([number]));
    }
    expect(inFlight.most).toBe(1);
    // One query for each reader would be 5,000.
    expect(inFlight.all).toBeLessThan(100);
    for (const each of readers) await each.return!();
    expect(await slow.next()).toEqual({ done: false, value: 2 });
    await handle.signal(next, -1);
    await handle.result();
  });

  it('release a reader that is given up while the database does not answer', async () => {
    const { client, module } = await start();
    const handle = await client.start(Hurries, 3);
    await handle.result();
    await database.query('ALTER TABLE durable.workflow_stream_chunks RENAME TO away');
    const { database: connected } = module.get<WorkflowRuntime>(WORKFLOW_RUNTIME, { strict: false });
    const query = connected.query.bind(connected);
    let failures = 0;
    connected.query = async (...args) =>
      query<never>(...args).catch((error: unknown) => {
        if (args[0].name === 'durable_read_stream_end') failures++;
        throw error;
      });
    try {
      const reader = handle.stream('body', { from: 1 })[Symbol.asyncIterator]();
      const pending = reader.next();
      await waitFor(() => failures > 0);
      await reader.return!();
      expect(await pending).toMatchObject({ done: true });
    } finally {
      await database.query('ALTER TABLE durable.away RENAME TO workflow_stream_chunks');
    }
  });

  it('reject the readers that wait when the application closes', async () => {
    const { client, close } = await start();
    const handle = await client.start(Numbers);
    const reader = handle.stream()[Symbol.asyncIterator]();
    const waiting = reader.next();
    const rejected = expect(waiting).rejects.toMatchObject({ code: 'CLOSED' });
    await waitFor(async () => (await handle.status()) !== 'pending');
    await close();
    await rejected;
  });
});
