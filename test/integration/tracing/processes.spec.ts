import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { killSpawned, spawnCompiled, type SpawnedProcess } from '../../support/processes.js';
import { TraceTree, type SpanRecord } from '../../support/trace-tree.js';
import { seconds, waitFor } from '../../support/wait.js';

const OWN = 'nestjs-durable';
const HTTP = '@opentelemetry/instrumentation-http';
const PG = '@opentelemetry/instrumentation-pg';

const ATTRIBUTES = [
  'messaging.system.name',
  'messaging.operation.name',
  'messaging.operation.type',
  'messaging.destination.name',
  'messaging.message.id',
  'messaging.message.conversation_id',
  'messaging.batch.message_count',
  'faas.trigger',
  'faas.invocation.id',
  'db.system.name',
  'db.operation.batch.size',
  'error.type',
  'nestjs_durable.run.id',
  'nestjs_durable.queue',
  'nestjs_durable.workflow.version',
  'nestjs_durable.pass.outcome',
  'nestjs_durable.step.key',
  'nestjs_durable.step.attempt',
  'nestjs_durable.step.outcome',
  'nestjs_durable.wait.kind',
];

describe('traces of processes with an SDK and instrumentations', () => {
  let database: TestDatabase;
  let folder: string;
  let files: string[];
  beforeAll(async () => {
    database = await createTestDatabase();
    folder = mkdtempSync(join(tmpdir(), 'durable-traces-'));
    files = [];
  });
  afterEach(async () => {
    await killSpawned();
    await closeApplications();
    files = [];
  });
  afterAll(async () => {
    rmSync(folder, { recursive: true });
    await database.drop();
  });

  async function spawn(name: string, worker: object | false, gate?: string): Promise<{ child: SpawnedProcess; url: string }> {
    const file = join(folder, `${name}.jsonl`);
    writeFileSync(file, '');
    files.push(file);
    const settings = JSON.stringify({ url: database.url, file, worker, ...(gate === undefined ? {} : { gate }) });
    const child = spawnCompiled('test/processes/traced-process.ts', { env: { TRACED_SETTINGS: settings } });
    const ready = await child.waitForLine(/^ready /);
    return { child, url: ready.slice('ready '.length) };
  }

  async function end({ child }: { child: SpawnedProcess }): Promise<void> {
    child.kill('SIGTERM');
    await child.exited;
  }

  async function post(url: string, body: object = {}, headers: Record<string, string> = {}): Promise<Record<string, string>> {
    const response = await fetch(url, {
      method: 'POST',
      body: JSON.stringify(body),
      headers: { 'content-type': 'application/json', ...headers },
    });
    const text = await response.text();
    expect(response.status).toBe(201);
    return text === '' ? {} : (JSON.parse(text) as Record<string, string>);
  }

  /** Orders, approves when the order waits for that, and returns when the order is done. */
  async function isWaitingForApproval(runId: string): Promise<boolean> {
    const rows = await database.query(
      `SELECT 1 FROM durable.workflow_waits w JOIN durable.workflow_runs r ON r.id = w.run_id
      WHERE w.run_id = $1 AND w.kind = 'signal' AND r.status = 'waiting'`,
      [runId],
    );
    return rows.length === 1;
  }

  async function resultOf(runId: string): Promise<unknown> {
    const { client } = await startApplication(database.url, [], { worker: false });
    return client.getHandle(runId).result({ timeout: seconds(30) });
  }

  function own(spans: readonly SpanRecord[]): SpanRecord[] {
    return spans.filter(({ scope }) => scope === OWN);
  }

  it('form one tree per request, with no orphan, no span without an end, and no payload', async () => {
    const process = await spawn('one', { suspendAfter: 20 });
    const { runId } = await post(`${process.url}/orders`, { secret: 'the secret' }, { baggage: 'user=the-secret-baggage' });
    await waitFor(() => isWaitingForApproval(runId!));
    await post(`${process.url}/orders/${runId}/approval`);
    expect(await resultOf(runId!)).toBe('shipped');
    const stored = await database.query<{ trace_context: string }>('SELECT trace_context FROM durable.workflow_runs');
    await end(process);

    const tree = TraceTree.read(files);
    expect(tree.names(tree.unended)).toEqual([]);
    expect(tree.names(tree.orphans)).toEqual([]);
    // Only the two requests begin a trace: no statement, no timer and no poll of the module does.
    // The pool of the application opens connections in spans of its own.
    const modulesRoots = tree.roots.filter(({ scope }) => scope !== HTTP);
    expect(tree.names(modulesRoots)).toEqual([]);
    expect(tree.roots).toHaveLength(2);

    const [request, approval] = tree.roots as [SpanRecord, SpanRecord];
    const spans = tree.ofTrace(request.traceId);
    expect(stored.map(({ trace_context }) => trace_context.slice(3, 35))).toEqual([request.traceId, request.traceId]);
    const start = tree.find('start order');
    expect(start).toMatchObject({ parentId: request.spanId, kind: 3, traceId: request.traceId });
    const under = tree.names(own(tree.childrenOf(start)));
    expect(under).toEqual(
      expect.arrayContaining(['process order', 'step reserve', 'step charge', 'step gate', 'start shipping', 'flush', 'claim']),
    );
    const shipping = tree.find('start shipping');
    expect(tree.names(own(tree.childrenOf(shipping)))).toEqual(
      expect.arrayContaining(['process shipping', 'step label', 'step hand-over']),
    );
    expect(new Set(spans)).toEqual(new Set(tree.spans.filter(({ traceId }) => traceId !== approval.traceId)));

    // Spans of the application nest below the step or the pass that executed the code.
    const nested = (name: string, scope: string): SpanRecord[] => tree.childrenOf(tree.find(name)).filter((span) => span.scope === scope);
    expect(nested('step reserve', PG).length).toBeGreaterThan(0);
    expect(nested('step label', PG).length).toBeGreaterThan(0);
    expect(nested('step hand-over', HTTP)).toHaveLength(1);
    expect(tree.names(nested('process order', 'application'))).toEqual(['between steps']);

    // Failures, suspensions and waits.
    const [failed, repeated] = spans.filter(({ name }) => name === 'step charge');
    expect(failed!.attributes).toMatchObject({ 'error.type': 'CARD_DECLINED', 'nestjs_durable.step.outcome': 'failed' });
    expect(failed!.status).toEqual({ code: 2 });
    expect(repeated!.attributes).toMatchObject({ 'nestjs_durable.step.attempt': 2 });
    const passes = spans.filter(({ name }) => name === 'process order');
    expect(passes.map(({ attributes }) => attributes['nestjs_durable.pass.outcome'])).toContain('suspended');
    expect(passes.at(-1)!.attributes['nestjs_durable.pass.outcome']).toBe('completed');
    const signal = tree.find('signal approved');
    expect(signal.traceId).toBe(approval.traceId);
    const links = passes.flatMap((pass) => pass.links);
    expect(links.map(({ attributes }) => attributes['nestjs_durable.wait.kind'])).toEqual(
      expect.arrayContaining(['sleep', 'signal', 'child']),
    );
    expect(links.find(({ attributes }) => attributes['nestjs_durable.wait.kind'] === 'signal')!.spanId).toBe(signal.spanId);

    const ours = own(tree.spans);
    const used = new Set(ours.flatMap((span) => [span, ...span.links].flatMap(({ attributes }) => Object.keys(attributes))));
    expect(ATTRIBUTES).toEqual(expect.arrayContaining([...used]));
    expect(JSON.stringify([ours, stored])).not.toContain('secret');
  });

  it('stay one tree over three processes, one of which is killed with SIGKILL', async () => {
    const gate = join(folder, 'gate');
    const web = await spawn('web', false);
    const first = await spawn('first', { suspendAfter: 20, sessionTtl: '2s' }, gate);
    const { runId } = await post(`${web.url}/orders`, { secret: 'x' });
    await first.child.waitForLine(/at the gate/);
    first.child.kill('SIGKILL');
    await first.child.exited;
    writeFileSync(gate, '');
    const second = await spawn('second', { suspendAfter: 20, sessionTtl: '2s' }, gate);
    await waitFor(() => isWaitingForApproval(runId!), { timeoutMs: 20_000 });
    await post(`${web.url}/orders/${runId}/approval`);
    expect(await resultOf(runId!)).toBe('shipped');
    await Promise.all([end(web), end(second)]);

    const tree = TraceTree.read(files);
    // The step and the pass that SIGKILL interrupted are lost. The spans of the application in that
    // pass have lost their parent, and no other span has.
    expect(tree.names(tree.unended).toSorted()).toEqual(['process order', 'step gate']);
    expect(tree.names(tree.orphans)).toEqual(['between steps']);
    const request = tree.roots.find(({ traceId }) => traceId === tree.find('start order').traceId)!;
    const steps = own(tree.ofTrace(request.traceId)).filter(({ name }) => name.startsWith('step '));
    expect(tree.names(steps)).toEqual(['step reserve', 'step charge', 'step charge', 'step gate', 'step label', 'step hand-over']);
    expect(tree.names(tree.roots.filter(({ scope }) => scope !== HTTP))).toEqual([]);
    const [lost] = TraceTree.read([files[1]!]).unended;
    expect(lost!.traceId).toBe(request.traceId);
  });
});
