import { describe, expect, it } from '@jest/globals';
import { z } from 'zod';

import { HookSchemas } from '../../src/core/hook-schemas.js';
import { rest, TestRun } from './harness.js';
import { delay, until, useVirtualTime } from './virtual-time.js';

const TOKEN = 'a token of the test';
const CHANNEL = `hook:${TOKEN}`;
const count = z.coerce.number().int();

/** Validates slowly, as a schema does that queries another service. */
const slow = z.number().refine(async (value) => {
  await delay(100);
  return value > 0;
});

useVirtualTime();

it('a warning of an abandoned hook wait does not contain the token, which is a secret', async () => {
  const run = new TestRun(async (ctx) => {
    const hook = await ctx.hook({ token: TOKEN });
    await Promise.race([hook.wait(), ctx.sleep(10)]);
    await ctx.sleep(10);
    await Promise.race([hook.wait(), ctx.sleep(10)]);
  });
  await until(() => run.stored.history.waits.filter(({ kind }) => kind === 'hook').length === 2);
  run.send(CHANNEL, 1);
  expect(await run.end()).toMatchObject({ status: 'completed' });
  expect(run.warnings).toEqual([expect.stringContaining('"hook.wait" took a message although 1 later')]);
  expect(run.warnings.join('')).not.toContain(TOKEN);
});

describe('a payload that does not match the schema of its hook', () => {
  it('is dropped and noted in the history, and the wait continues', async () => {
    const run = new TestRun(async (ctx) => (await ctx.hook({ token: TOKEN, schema: count })).wait());
    await rest(run);
    run.send(CHANNEL, 'many');
    await rest(run);
    expect(run.dropped).toEqual(['hook.wait']);
    expect(run.warnings).toEqual([expect.stringContaining('hook.wait')]);
    expect(run.stored.inbox.size).toBe(0);
    expect(run.idle.at(-1)).toBe(Infinity);
    run.send(CHANNEL, '12');
    expect(await run.end()).toMatchObject({ status: 'completed', output: 12 });
  });

  it('is dropped even when it arrived before the wait, and then the wait is recorded', async () => {
    const run = new TestRun(async (ctx) => {
      const hook = await ctx.hook({ token: TOKEN, schema: count });
      await ctx.sleep(1_000);
      return hook.wait();
    });
    run.send(CHANNEL, {});
    await rest(run);
    await delayed(run, 2_000);
    expect(run.dropped).toEqual(['hook.wait']);
    expect(run.stored.history.waits.map(({ stepKey, name }) => [stepKey, name])).toEqual([['hook.wait', TOKEN]]);
    run.send(CHANNEL, 3);
    expect(await run.end()).toMatchObject({ output: 3 });
  });

  it('does not block matching payloads: they are taken in order, as the schema outputs them', async () => {
    const run = new TestRun(async (ctx) => {
      const got: number[] = [];
      for await (const value of await ctx.hook({ token: TOKEN, schema: count })) if (got.push(value) === 3) break;
      return got;
    });
    for (const payload of ['1', 'x', '2', 'y', {}, '3', '4']) run.send(CHANNEL, payload);
    expect(await run.end()).toMatchObject({ output: [1, 2, 3] });
    expect(run.dropped).toEqual(['hook.wait#2', 'hook.wait#3', 'hook.wait#3']);
    expect([...run.stored.inbox.values()].map(({ payload }) => payload)).toEqual(['"4"']);
  });
});

describe('a payload whose validation is running', () => {
  it('keeps the run from being suspended', async () => {
    const run = new TestRun(async (ctx) => (await ctx.hook({ token: TOKEN, schema: slow })).wait(), { suspends: true });
    run.send(CHANNEL, 5);
    await rest(run);
    expect(run.isParked).toBe(false);
    expect(run.idle.at(-1) ?? null).toBeNull();
    expect(await run.end()).toMatchObject({ output: 5 });
  });

  it('is left for the next wait when the timeout of this wait passes', async () => {
    const run = new TestRun(async (ctx) => {
      const hook = await ctx.hook({ token: TOKEN, schema: slow });
      return [await hook.wait({ timeout: 50 }), await hook.wait()];
    });
    run.send(CHANNEL, 5);
    expect(await run.end()).toMatchObject({ output: [null, 5] });
  });

  it('is taken once, after whichever transition the process dies', async () => {
    for (let at = 1; at <= 8; at++) {
      const run = new TestRun(
        async (ctx) => {
          const hook = await ctx.hook({ token: TOKEN, schema: slow });
          return [await hook.wait(), await hook.wait()];
        },
        { crashes: (written) => written === at },
      );
      for (const payload of [-1, 1, -2, 2, 3]) run.send(CHANNEL, payload);
      expect(await run.end()).toMatchObject({ output: [1, 2] });
      expect([...run.stored.inbox.values()].map(({ payload }) => payload)).toEqual(['3']);
    }
  });
});

describe('the schema of a hook', () => {
  it('that throws fails the wait, because the payload is not at fault', async () => {
    const broken = z.any().transform(() => {
      throw new TypeError('a mistake');
    });
    const run = new TestRun(async (ctx) => (await ctx.hook({ token: TOKEN, schema: broken })).wait());
    run.send(CHANNEL, 1);
    expect(await run.end()).toMatchObject({ status: 'failed', error: { code: 'INVALID_INPUT', cause: { message: 'a mistake' } } });
    expect(run.dropped).toEqual([]);
  });

  it('validates only the body when the workflow wants headers too', async () => {
    const schema = z.object({ n: count });
    const run = new TestRun(async (ctx) => (await ctx.hook({ token: TOKEN, schema, headers: ['X-From'] })).wait());
    run.send(CHANNEL, { body: { n: '7' }, headers: { 'x-from': 'test' } });
    expect(await run.end()).toMatchObject({ output: { body: { n: 7 }, headers: { 'x-from': 'test' } } });
  });

  it('is registered for receivers of payloads by every pass that created or replayed the hook', async () => {
    const hookSchemas = new HookSchemas();
    const run = new TestRun(async (ctx) => (await ctx.hook({ token: TOKEN, schema: count })).wait(), { settings: { hookSchemas } });
    await rest(run);
    expect(hookSchemas.find(TOKEN)).toBe(count);
    hookSchemas.forget(TOKEN);
    run.crash();
    await rest(run);
    expect(hookSchemas.find(TOKEN)).toBe(count);
  });
});

describe('options of a hook', () => {
  const wrong: [string, object][] = [
    ['options.token', { token: 'too short' }],
    ['options.schema', { schema: {} }],
    ['options.headers', { headers: [] }],
    ['options.headers[1]', { headers: ['x-one', 'x two'] }],
    ['options.verify', { verify: '' }],
    ['options.idempotencyHeader', { idempotencyHeader: 'a:b' }],
    ['options.secret', { secret: 'x' }],
  ];
  it.each(wrong)('are refused with the name of the wrong option: %s', async (argument, options) => {
    const run = new TestRun(async (ctx) => ctx.hook(options));
    expect(await run.end()).toMatchObject({ status: 'failed', error: { code: 'INVALID_INPUT', argument } });
    expect(run.keys).toEqual([]);
  });
});

async function delayed(run: TestRun, ms: number): Promise<void> {
  const end = Date.now() + ms;
  setTimeout(() => undefined, ms);
  await until(() => Date.now() >= end);
  await rest(run);
}
