import { setFlagsFromString } from 'node:v8';
import { setTimeout as sleep } from 'node:timers/promises';
import { runInNewContext } from 'node:vm';

import { context, isSpanContextValid, trace, type Span } from '@opentelemetry/api';
import { suppressTracing } from '@opentelemetry/core';
import { AlwaysOffSampler } from '@opentelemetry/sdk-trace-base';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { DataSource } from 'typeorm';
import pg from 'pg';

import { defineSignal, Workflow, type WorkflowContext } from '../../../src/index.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { startPushed } from '../../support/pushed-application.js';
import { TestTracing } from '../../support/tracing.js';
import { seconds, waitFor } from '../../support/wait.js';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const go = defineSignal<string>('go');
let release: (() => void) | undefined;

@Workflow({ name: 'three steps' })
class ThreeSteps {
  async run(_input: void, ctx: WorkflowContext): Promise<number> {
    let sum = 0;
    for (let n = 1; n <= 3; n++) sum += await ctx.step('add', () => n);
    return sum;
  }
}

@Workflow({ name: 'chain' })
class Chain {
  async run(left: number, ctx: WorkflowContext): Promise<string> {
    await ctx.step('link', () => left);
    if (left > 0) return ctx.continueAsNew(Chain, left - 1);
    await ctx.start(ThreeSteps);
    return 'end';
  }
}

@Workflow({ name: 'held' })
class Held {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    await ctx.step('hold', () => new Promise<void>((resolve) => (release = resolve)));
  }
}

@Workflow({ name: 'listening' })
class Listening {
  async run(token: string, ctx: WorkflowContext): Promise<unknown[]> {
    const hook = await ctx.hook<string>({ token });
    return [await ctx.waitForSignal(go), await hook.wait()];
  }
}

@Workflow({ name: 'sleeping' })
class Sleeping {
  async run(ms: number, ctx: WorkflowContext): Promise<void> {
    await ctx.sleep(ms);
  }
}

@Workflow({ name: 'limited', queue: 'limited' })
class Limited {
  async run(): Promise<string> {
    return 'done';
  }
}

const WORKFLOWS = [ThreeSteps, Chain, Held, Listening, Sleeping];

describe('tracing', () => {
  const { query } = pg.Client.prototype;
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(async () => {
    release?.();
    pg.Client.prototype.query = query;
    await closeApplications();
    TestTracing.unregister();
  });
  afterAll(() => database.drop());

  /** Calls `seen` for every statement that a client of pg sends. */
  function watchStatements(seen: (statement: { name?: string }) => void): void {
    pg.Client.prototype.query = function (this: pg.Client, ...args: unknown[]) {
      seen(args[0] as { name?: string });
      return (query as unknown as (...given: unknown[]) => unknown).apply(this, args);
    } as typeof query;
  }

  async function contextOf(runId: string): Promise<string | null> {
    const [row] = await database.query<{ trace_context: string | null }>('SELECT trace_context FROM durable.workflow_runs WHERE id = $1', [
      runId,
    ]);
    return row!.trace_context;
  }

  it('that is off stores nothing; that is on needs no further statement', async () => {
    const counts: number[] = [];
    const contexts: (string | null)[] = [];
    for (const mode of ['off', 'on']) {
      const tracing = mode === 'on' ? TestTracing.register() : undefined;
      const { client } = await startApplication(database.url, WORKFLOWS, { listen: false });
      await client.execute(ThreeSteps);
      let flushes = 0;
      watchStatements(({ name }) => {
        if (name?.startsWith('durable_flush')) flushes++;
      });
      const handle = await client.start(ThreeSteps);
      expect(await handle.result()).toBe(6);
      counts.push(flushes);
      contexts.push(await contextOf(handle.runId));
      const held = await client.start(Listening, `token-${mode}-1234567890`);
      await waitFor(() => client.signal(held.runId, go, 'x').then(() => true));
      await waitFor(() => client.resumeHook(`token-${mode}-1234567890`, 'y').then(() => true));
      expect(await held.result()).toEqual(['x', 'y']);
      if (tracing) expect(tracing.named('process three steps')).toHaveLength(2);
      pg.Client.prototype.query = query;
      await closeApplications();
    }
    expect(counts).toEqual([4, 4]);
    expect(contexts).toEqual([null, expect.stringMatching(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/)]);
  });

  it('reaches every kind of start, and every message', async () => {
    const tracing = TestTracing.register();
    const dataSource = await new DataSource({ type: 'postgres', url: database.url }).initialize();
    const { client } = await startApplication(database.url, WORKFLOWS, { worker: { suspendAfter: 20 } });
    const token = 'a-token-that-is-secret';
    const root = await tracing.request(async (span) => {
      const ids: string[] = [];
      for (const { runId } of await client.startMany(ThreeSteps, [undefined, undefined])) ids.push(runId);
      await dataSource.transaction(async (manager) => {
        ids.push((await client.start(ThreeSteps, undefined, { manager })).runId);
        for (const { runId } of await client.startMany(ThreeSteps, [undefined, undefined], () => ({ manager }))) ids.push(runId);
      });
      ids.push((await client.start(ThreeSteps, undefined, { delay: 1 })).runId, (await client.fork(ids[0]!)).runId);
      ids.push((await client.start(Chain, 2)).runId);
      for (const id of ids) {
        expect(await contextOf(id)).toContain(span.spanContext().traceId);
        await client.getHandle(id).result();
      }
      const listening = await client.start(Listening, token);
      await waitFor(async () => (await client.status(listening.runId)) === 'waiting');
      await dataSource.transaction((manager) => client.signal(listening.runId, go, 'x', { manager }));
      await client.resumeHook(token, 'y');
      expect(await listening.result()).toEqual(['x', 'y']);
      return span;
    });
    await dataSource.destroy();
    await waitFor(async () => (await database.query(`SELECT 1 FROM durable.workflow_runs WHERE status = 'running'`)).length === 0);
    await closeApplications();
    const counts = new Map<string, number>();
    for (const name of tracing.namesIn(root)) counts.set(name, (counts.get(name) ?? 0) + 1);
    expect(Object.fromEntries(counts)).toMatchObject({
      request: 1,
      // Six by the client, and one by the last run of the chain.
      'start three steps': 7,
      fork: 1,
      'start chain': 3,
      'process chain': 3,
      'step link': 3,
      'process three steps': 8,
      'step add': 24,
      'signal go': 1,
      hook: 1,
    });
    // Every span of this process belongs to the request.
    expect(tracing.namesIn(root)).toHaveLength(tracing.ended.length);
    expect(tracing.unended).toBe(0);
    const links = tracing.named('process listening').flatMap((span) => span.links);
    const senders = [...tracing.named('signal go'), ...tracing.named('hook')].map((span) => span.spanContext().spanId);
    expect(links.map((link) => link.context.spanId)).toEqual(senders);
    const ours = tracing.ended.map(({ name, attributes }) => ({ name, attributes }));
    expect(JSON.stringify(ours)).not.toContain(token);
  });

  it('keeps the sampling decision of the request, and records nothing of a request that is not sampled', async () => {
    const tracing = TestTracing.register(new AlwaysOffSampler());
    const { client } = await startApplication(database.url, WORKFLOWS);
    const handle = await tracing.request(() => client.start(Chain, 1));
    await handle.result();
    expect(await contextOf(handle.runId)).toMatch(/-00$/);
    expect(tracing.ended).toEqual([]);
  });

  it.each([
    ['malformed', 'not a context'],
    ['all zero', `00-${'0'.repeat(32)}-${'0'.repeat(16)}-01`],
    ['too long', `00-${'1'.repeat(32)}-${'2'.repeat(16)}-01 a=${'x'.repeat(1_000)}`],
  ])('ignores a stored context that is %s', async (_, stored) => {
    const tracing = TestTracing.register();
    const { client, close } = await startApplication(database.url, [], { worker: false });
    const handle = await client.start('three steps', undefined);
    await database.query('UPDATE durable.workflow_runs SET trace_context = $2 WHERE id = $1', [handle.runId, stored]);
    await close();
    const worker = await startApplication(database.url, WORKFLOWS);
    expect(await worker.client.getHandle(handle.runId).result()).toBe(6);
    await waitFor(() => tracing.named('process three steps').length === 1);
    const [pass] = tracing.named('process three steps');
    expect(pass!.parentSpanContext).toBeUndefined();
  });

  it('carries a tracestate, and leaves out one that is too long', async () => {
    TestTracing.register();
    const { client } = await startApplication(database.url, WORKFLOWS, { worker: false });
    const { createTraceState } = await import('@opentelemetry/api');
    const start = async (state: string): Promise<string | null> => {
      const remote = {
        traceId: '1'.repeat(32),
        spanId: '2'.repeat(16),
        traceFlags: 1,
        isRemote: true,
        traceState: createTraceState(state),
      };
      const { runId } = await context.with(trace.setSpanContext(context.active(), remote), () => client.start(ThreeSteps));
      return contextOf(runId);
    };
    expect(await start('vendor=1')).toMatch(/^00-1{32}-[0-9a-f]{16}-01 vendor=1$/);
    expect((await start(`a=${'x'.repeat(200)},b=${'x'.repeat(200)},c=${'x'.repeat(90)}`))!.length).toBeLessThanOrEqual(600);
    expect(
      await context.with(suppressTracing(context.active()), () => client.start(ThreeSteps).then(({ runId }) => contextOf(runId))),
    ).toBeNull();
  });

  it('ends every span when the worker is fenced off and when it closes', async () => {
    const tracing = TestTracing.register();
    const first = await startApplication(database.url, WORKFLOWS, { worker: { shutdownTimeout: 50 } });
    const outcomes = (): unknown[] => tracing.named('process held').map(({ attributes }) => attributes['nestjs_durable.pass.outcome']);
    const begun = release;
    await first.client.start(Held);
    await waitFor(() => release !== begun);
    await database.query('DELETE FROM durable.workflow_sessions');
    // The run is lost when the worker notices that its session is gone.
    release!();
    await waitFor(() => outcomes().includes('abandoned'));
    await waitFor(async () => {
      await first.client.start(ThreeSteps).then((handle) => handle.result({ timeout: seconds(5) }));
      return true;
    });
    const held = release;
    await first.client.start(Held);
    await waitFor(() => release !== held);
    await first.close();
    expect(outcomes()).toContain('handed_back');
    expect(tracing.named('step hold').map(({ attributes }) => attributes['nestjs_durable.step.outcome'])).toContain('aborted');
    expect(tracing.unended).toBe(0);
  });

  it('keeps no context of a request alive, and suppresses the tracing of the module’s own statements', async () => {
    const tracing = TestTracing.register();
    const { client } = await startApplication(database.url, WORKFLOWS, { worker: { suspendAfter: 50 } });
    let queries = 0;
    let traced = 0;
    watchStatements(() => {
      queries++;
      const probe = trace.getTracer('probe').startSpan('probe');
      if (isSpanContextValid(probe.spanContext())) traced++;
      probe.end();
    });
    const waiting = client.execute(Sleeping, 2_000);
    const request = async (): Promise<WeakRef<Span>> => {
      let reference: WeakRef<Span>;
      await tracing.request(async (span) => {
        reference = new WeakRef(span);
        await client.count({});
        await (await client.start(Sleeping, 100)).result();
      });
      return reference!;
    };
    const first = await request();
    tracing.ended.length = 0;
    const before = queries;
    await waitFor(() => queries > before + 5);
    expect(traced).toBe(0);
    await waitFor(
      async () => {
        await sleep(20);
        tracing.ended.length = 0;
        collectGarbage();
        return first.deref() === undefined;
      },
      { message: 'the span of the request to be collected' },
    );
    await waiting;
  });

  it('carries the trace through QStash, and links the pass to the delivery', async () => {
    const tracing = TestTracing.register();
    const { client, close } = await startPushed(database.url, WORKFLOWS);
    const root = await tracing.request(async (span) => {
      expect(await (await client.start(ThreeSteps)).result({ timeout: seconds(20) })).toBe(6);
      return span;
    });
    await close();
    const names = tracing.namesIn(root);
    expect(names).toEqual(
      expect.arrayContaining(['start three steps', 'publish', 'deliver default', 'claim', 'process three steps', 'step add']),
    );
    const [start] = tracing.named('start three steps');
    const [delivery] = tracing.named('deliver default');
    // Without an instrumentation of HTTP, the headers of the delivery carry the context.
    expect(delivery!.parentSpanContext).toMatchObject({ spanId: start!.spanContext().spanId, isRemote: true });
    const [pass] = tracing.named('process three steps');
    expect(pass!.parentSpanContext).toMatchObject({ spanId: start!.spanContext().spanId });
    expect(pass!.links.map((link) => link.context.spanId)).toEqual([delivery!.spanContext().spanId]);
    expect(tracing.unended).toBe(0);
  });

  it('shows the claim of a run that waited for a place in its queue', async () => {
    const tracing = TestTracing.register();
    const { client, close } = await startApplication(database.url, [Limited], { queues: { limited: { concurrency: 1 } } });
    const root = await tracing.request(async (span) => {
      const handles = await client.startMany(Limited, [undefined, undefined]);
      for (const handle of handles) expect(await handle.result()).toBe('done');
      return span;
    });
    await close();
    expect(tracing.namesIn(root).filter((name) => name === 'claim')).not.toEqual([]);
    expect(tracing.unended).toBe(0);
  });
});
