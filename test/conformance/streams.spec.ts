import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { lastValueFrom, toArray } from 'rxjs';

import {
  currentStep,
  defineSignal,
  StreamClosedError,
  Workflow,
  type StreamEvent,
  type WorkflowContext,
  type WorkflowHandle,
} from '../../src/index.js';
import { closeApplications, startApplication, type TestApplication } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { waitFor } from '../support/wait.js';
import { configured } from './configured.js';

const go = defineSignal<string>('go');

@Workflow({ name: 'tells' })
class Tells {
  async run(parts: unknown[], ctx: WorkflowContext): Promise<number> {
    const out = ctx.stream('parts');
    for (const part of parts) await out.write(part);
    return parts.length;
  }
}

/** Writes before and after a wait in which the run is suspended. */
@Workflow({ name: 'tells twice' })
class TellsTwice {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    const out = ctx.stream<string>();
    await out.write('before');
    await ctx.step('body', () => currentStep().stream().write('in the body'));
    const value = await ctx.waitForSignal(go);
    await out.write(`after ${value}`);
  }
}

/** Fails in the middle of its first attempts. */
@Workflow({ name: 'tries again' })
class TriesAgain {
  async run(failures: number, ctx: WorkflowContext): Promise<void> {
    await ctx.stream('answer').write('question');
    await ctx.step('answer', { retry: { maxAttempts: 3, initialInterval: 10 } }, async () => {
      const { attempt } = currentStep();
      const out = currentStep().stream<string>('answer');
      for (const word of ['one', 'two', 'three']) {
        await out.write(`${word} of ${attempt}`);
        if (attempt <= failures && word === 'two') {
          await out.flush();
          throw new Error('in the middle');
        }
      }
    });
  }
}

@Workflow({ name: 'closes' })
class Closes {
  async run(_input: void, ctx: WorkflowContext): Promise<string> {
    const out = ctx.stream<number>('closed');
    await out.write(1);
    await out.close();
    const refused = await out.write(2).catch((error: unknown) => error);
    await ctx.waitForSignal(go);
    return refused instanceof StreamClosedError ? refused.code : String(refused);
  }
}

@Workflow({ name: 'fails with a stream' })
class Fails {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    await ctx.stream<string>().write('so far');
    throw new RangeError('no further');
  }
}

/** Continues as a run with a stream of its own. */
@Workflow({ name: 'streams on' })
class StreamsOn {
  async run(left: number, ctx: WorkflowContext): Promise<string> {
    await ctx.stream<number>().write(left);
    return left === 0 ? 'done' : ctx.continueAsNew(StreamsOn, left - 1);
  }
}

async function valuesOf<T = unknown>(handle: WorkflowHandle, name?: string, from?: number): Promise<T[]> {
  const values: T[] = [];
  for await (const value of handle.stream<T>(name, from === undefined ? {} : { from })) values.push(value);
  return values;
}

async function eventsOf(handle: WorkflowHandle, name: string, from = 0): Promise<StreamEvent[]> {
  const events: StreamEvent[] = [];
  for await (const event of handle.stream(name, { form: 'events', from })) events.push(event);
  return events;
}

describe('a stream', () => {
  let app: TestApplication;
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
    app = await startApplication(database.url, [Tells, TellsTwice, TriesAgain, Closes, Fails, StreamsOn], {
      ...configured(),
      worker: { suspendAfter: 30 },
    });
  });
  afterAll(async () => {
    await closeApplications();
    await database.drop();
  });

  it('delivers every kind of value in order, while the run works and afterwards', async () => {
    const parts = ['text', { a: [1, null] }, new Date(5), 7n, new Uint8Array([1, 2]), undefined, 0];
    const handle = await app.client.start(Tells, parts);
    const live = await valuesOf(handle, 'parts');
    await handle.result();
    expect(live).toEqual(parts);
    expect(await valuesOf(handle, 'parts')).toEqual(parts);
    expect(await valuesOf(handle, 'parts', 5)).toEqual(parts.slice(5));
    expect(await valuesOf(handle, 'parts', -2)).toEqual(parts.slice(-2));
    expect(await valuesOf(handle, 'never written')).toEqual([]);
    expect(await app.client.streams(handle.runId)).toEqual([
      { name: 'parts', length: 7, bytes: expect.any(Number), state: 'completed', writtenAt: expect.any(Date) },
    ]);
  });

  it('has each chunk once when the run was suspended and executed again', async () => {
    const handle = await app.client.start(TellsTwice);
    const reader = handle.stream<string>()[Symbol.asyncIterator]();
    expect([await reader.next(), await reader.next()]).toMatchObject([{ value: 'before' }, { value: 'in the body' }]);
    await waitFor(async () => (await handle.status()) === 'waiting');
    await handle.signal(go, 'the wait');
    expect(await reader.next()).toMatchObject({ value: 'after the wait' });
    expect(await reader.next()).toMatchObject({ done: true });
    expect(await valuesOf(handle)).toEqual(['before', 'in the body', 'after the wait']);
  });

  it('shows the chunks of the last attempt only', async () => {
    const handle = await app.client.start(TriesAgain, 2);
    const live = await eventsOf(handle, 'answer');
    await handle.result();
    const after = ['question', 'one of 3', 'two of 3', 'three of 3'];
    expect(await valuesOf(handle, 'answer')).toEqual(after);
    // A reader that drops what each reset names has the same chunks.
    let kept: { index: number; value: unknown; stepKey: string | undefined }[] = [];
    for (const event of live) {
      if (event.type === 'chunk') kept.push(event);
      if (event.type === 'reset') kept = kept.filter(({ index, stepKey }) => index < event.from || stepKey !== event.stepKey);
    }
    expect(kept.map(({ value }) => value)).toEqual(after);
    expect(live.at(-1)).toMatchObject({ type: 'end', state: 'completed' });
    // A reader that left in the first attempt learns of the reset.
    expect((await eventsOf(handle, 'answer', 2))[0]).toMatchObject({ type: 'reset', from: 1, stepKey: 'answer' });
  });

  it('ends for its readers when it is closed, and takes no further chunk', async () => {
    const handle = await app.client.start(Closes);
    expect(await valuesOf(handle, 'closed')).toEqual([1]);
    expect(await valuesOf(handle, 'closed', 2)).toEqual([]);
    expect(await app.client.streams(handle.runId)).toMatchObject([{ name: 'closed', length: 2, state: 'closed' }]);
    await handle.signal(go, 'on');
    expect(await handle.result()).toBe('STREAM_CLOSED');
  });

  it('throws the error of a run that fails, after the last chunk', async () => {
    const handle = await app.client.start(Fails);
    const reader = handle.stream<string>()[Symbol.asyncIterator]();
    expect(await reader.next()).toMatchObject({ value: 'so far' });
    await expect(reader.next()).rejects.toMatchObject({ name: 'WorkflowFailedError', cause: { message: 'no further' } });
    expect((await eventsOf(handle, 'default')).at(-1)).toMatchObject({ type: 'end', state: 'failed' });
  });

  it('belongs to one run of a chain, and is not copied by a fork', async () => {
    const handle = await app.client.start(StreamsOn, 1);
    expect(await valuesOf(handle)).toEqual([1]);
    await handle.result();
    const { runId } = await handle.describe();
    expect(await valuesOf(app.client.getHandle(runId))).toEqual([0]);
    const fork = await app.client.fork(runId);
    await fork.result();
    expect(await valuesOf(fork)).toEqual([0]);
  });

  it('is read as a web stream and as server-sent events', async () => {
    const handle = await app.client.start(Tells, ['a', { b: 7n }]);
    const values: unknown[] = [];
    for await (const value of handle.readable('parts')) values.push(value);
    expect(values).toEqual(['a', { b: 7n }]);
    await handle.result();
    const messages = [
      { id: '0', data: '"a"' },
      { id: '1', data: '{"b":"7"}' },
      { id: '2-end', type: 'end', data: '{"state":"completed"}' },
    ];
    expect(await lastValueFrom(handle.sse('parts').pipe(toArray()))).toEqual(messages);
    expect(await lastValueFrom(handle.sse('parts', { lastEventId: '0' }).pipe(toArray()))).toEqual(messages.slice(1));
    expect(() => handle.sse('parts', { lastEventId: 'x' })).toThrow('options.lastEventId must be the id of an event of this stream');
  });

  it('refuses bad arguments by name, and readers of a run that does not exist', async () => {
    const handle = app.client.getHandle('nobody');
    expect(() => handle.stream('')).toThrow('name must not be empty');
    expect(() => handle.stream('a', { from: 0.5 })).toThrow('options.from must be a whole number');
    await expect(valuesOf(handle)).rejects.toMatchObject({ code: 'RUN_NOT_FOUND' });
    await expect(app.client.streams('nobody')).rejects.toMatchObject({ code: 'RUN_NOT_FOUND' });
  });
});
