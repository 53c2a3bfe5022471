import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import type { Statement } from '../../src/store/database.js';
import type { NewWorldEvent, World } from '../../src/world/index.js';
import * as sql from '../../src/world/store/event-statements.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { bytes, createTestWorld, newId, refusalOf, runCreated, SPECS, startRun, type Line } from './support/test-world.js';

describe.each<Line>(['stable', 'beta5', 'beta7'])('events of a World for %s', (line) => {
  let database: TestDatabase;
  let world: World;

  beforeAll(async () => {
    database = await createTestDatabase();
    world = createTestWorld(line, { databaseUrl: database.url });
  });

  afterAll(async () => {
    await world.close();
    await database.drop();
  });

  const event = (eventType: string, correlationId?: string, eventData?: Record<string, unknown>): NewWorldEvent => ({
    eventType,
    specVersion: world.specVersion,
    ...(correlationId === undefined ? {} : { correlationId }),
    ...(eventData === undefined ? {} : { eventData }),
  });

  /** Calls ten times at once; returns the names of the errors. */
  const tenTimes = async (call: () => Promise<unknown>): Promise<{ successes: number; errors: string[] }> => {
    const results = await Promise.allSettled(Array.from({ length: 10 }, call));
    const errors = results.flatMap((result) => (result.status === 'rejected' ? [(result.reason as Error).name] : []));
    return { successes: 10 - errors.length, errors: [...new Set(errors)] };
  };

  it('speaks the version of the installed kit', () => {
    expect(world.specVersion).toBe(SPECS[line]);
  });

  it('creates, starts and completes a run, with the very bytes of its payloads', async () => {
    const runId = newId();
    const created = await world.events.create(runId, runCreated(world));
    expect(created.run).toMatchObject({ runId, status: 'pending', input: bytes(1, 2, 3), specVersion: SPECS[line] });
    const started = await world.events.create(runId, event('run_started'));
    expect(started.run).toMatchObject({ status: 'running', input: bytes(1, 2, 3) });
    expect(started.run!.startedAt).toBeInstanceOf(Date);
    expect(started.events!.map(({ eventType }) => eventType)).toEqual(['run_created', 'run_started']);
    await world.events.create(runId, event('run_completed', undefined, { output: bytes(0, 255) }));
    expect(await world.runs.get(runId)).toMatchObject({ status: 'completed', output: bytes(0, 255) });
    const bare = await world.runs.get(runId, { resolveData: 'none' });
    expect([bare.input, bare.output]).toEqual([undefined, undefined]);
  });

  it('lets exactly one of ten create a run, a step, a hook and a wait, and end the run', async () => {
    const runId = newId();
    const once = { successes: 1, errors: ['EntityConflictError'] };
    expect(await tenTimes(() => world.events.create(runId, runCreated(world)))).toEqual(once);
    await world.events.create(runId, event('run_started'));
    const created = (type: string, data: Record<string, unknown>) => (): Promise<unknown> =>
      world.events.create(runId, event(`${type}_created`, `${type}_1`, data));
    expect(await tenTimes(created('step', { stepName: 's', input: bytes(1) }))).toEqual(once);
    expect(await tenTimes(created('hook', { token: runId }))).toEqual(once);
    expect(await tenTimes(created('wait', { resumeAt: new Date() }))).toEqual(once);
    await world.events.create(runId, event('step_started', 'step_1'));
    expect(await tenTimes(() => world.events.create(runId, event('step_completed', 'step_1', { result: bytes(2) })))).toEqual(once);
    expect(await tenTimes(() => world.events.create(runId, event('run_completed', undefined, { output: bytes(3) })))).toEqual(once);
    const { data } = await world.events.list({ runId });
    const types = data.map(({ eventType }) => eventType);
    expect(types).toEqual([
      'run_created',
      'run_started',
      'step_created',
      'hook_created',
      'wait_created',
      'step_started',
      'step_completed',
      'run_completed',
    ]);
  });

  it('seed: unique tokens. One of ten runs gets a token, and the others learn who has it', async () => {
    const runs = await Promise.all(Array.from({ length: 10 }, () => startRun(world)));
    const token = newId();
    const answers = await Promise.all(runs.map((runId) => world.events.create(runId, event('hook_created', 'hook_1', { token }))));
    const winners = answers.filter(({ hook }) => hook !== undefined);
    expect(winners).toHaveLength(1);
    const winner = winners[0]!.hook!.runId;
    const conflicts = answers.filter(({ event: written }) => written!.eventType === 'hook_conflict');
    expect(conflicts.map(({ event: written }) => written!.eventData!['conflictingRunId'])).toEqual(Array.from({ length: 9 }, () => winner));
    expect((await world.hooks.getByToken(token)).runId).toBe(winner);
    await world.events.create(winner, event('run_completed', undefined, { output: bytes(1) }));
    expect(await refusalOf(world.hooks.getByToken(token))).toEqual({ name: 'HookNotFoundError' });
    const next = await startRun(world);
    expect((await world.events.create(next, event('hook_created', 'hook_1', { token }))).hook).toMatchObject({ runId: next, token });
  });

  it('seed: transactions. An event that is refused leaves nothing behind', async () => {
    const runId = await startRun(world);
    await world.events.create(runId, event('run_cancelled'));
    const before = await world.events.list({ runId });
    const late: [NewWorldEvent, string][] = [
      [event('step_created', 'step_9', { stepName: 's', input: bytes(1) }), 'EntityConflictError'],
      [event('hook_created', 'hook_9', { token: runId }), 'EntityConflictError'],
      [event('wait_created', 'wait_9', { resumeAt: new Date() }), 'EntityConflictError'],
      [event('run_completed', undefined, { output: bytes(1) }), 'EntityConflictError'],
      [event('run_started'), 'RunExpiredError'],
      [event('step_started', 'step_9'), 'WorkflowWorldError'],
    ];
    for (const [each, name] of late) expect(await refusalOf(world.events.create(runId, each))).toMatchObject({ name });
    expect((await world.events.create(runId, event('run_cancelled'))).run).toMatchObject({ status: 'cancelled' });
    expect(await world.events.list({ runId })).toEqual(before);
    expect((await world.steps.list({ runId })).data).toEqual([]);
  });

  it('counts attempts, and refuses one before its time', async () => {
    const runId = await startRun(world);
    const start = (): Promise<{ attempt: number; input?: unknown }> =>
      world.events.create(runId, event('step_started', 'step_1')).then(({ step }) => step!);
    await world.events.create(runId, event('step_created', 'step_1', { stepName: 's', input: bytes(7) }));
    expect(await start()).toMatchObject({ attempt: 1, input: bytes(7) });
    expect(await start()).toMatchObject({ attempt: 2 });
    await world.events.create(runId, event('step_retrying', 'step_1', { error: bytes(1), retryAfter: new Date(Date.now() + 3_600_000) }));
    const refused = await refusalOf(start());
    expect(refused.name).toBe('TooEarlyError');
    expect(refused.retryAfter).toBeGreaterThan(3_000);
    await database.query(`UPDATE durable_world.world_steps SET retry_after = now() - interval '1 second' WHERE run_id = $1`, [runId]);
    expect(await start()).toMatchObject({ attempt: 3, status: 'running' });
    expect((await world.steps.get(runId, 'step_1')).retryAfter).toBeUndefined();
  });

  it('refuses a payload for a hook that is disposed, and never writes one behind the disposal', async () => {
    const runId = await startRun(world);
    await world.events.create(runId, event('hook_created', 'hook_1', { token: runId }));
    const receive = (): Promise<unknown> => world.events.create(runId, event('hook_received', 'hook_1', { payload: bytes(1) }));
    await Promise.allSettled([receive(), receive(), world.events.create(runId, event('hook_disposed', 'hook_1')), receive(), receive()]);
    const { data } = await world.events.list({ runId });
    expect(data.at(-1)!.eventType).toBe('hook_disposed');
    expect(await refusalOf(receive())).toEqual({ name: 'HookNotFoundError' });
  });

  it('reads a history in pages of seven while events arrive', async () => {
    const runId = await startRun(world);
    const seen: string[] = [];
    let cursor: string | undefined;
    for (let index = 0; index < 30; index++) {
      await world.events.create(runId, event('wait_created', `wait_${index}`, { resumeAt: new Date() }));
      const page = await world.events.list({ runId, pagination: { limit: 7, ...(cursor === undefined ? {} : { cursor }) } });
      seen.push(...page.data.map(({ eventId }) => eventId));
      cursor = page.cursor ?? cursor;
    }
    const { data } = await world.events.list({ runId, pagination: { limit: 1_000 } });
    expect(seen).toEqual(data.map(({ eventId }) => eventId));
    expect(seen).toEqual(seen.toSorted());
    expect(await world.events.get(runId, seen[5]!)).toEqual(data[5]);
    expect((await world.events.listByCorrelationId({ correlationId: 'wait_3', runId })).data).toHaveLength(1);
    expect(await refusalOf(world.events.list({ runId, pagination: { cursor: 'nonsense' } }))).toMatchObject({ status: 400 });
  });

  it('refuses what it does not know with the error that the runtime expects', async () => {
    const runId = await startRun(world);
    const old = 'wrun_01H00000000000000000000000';
    expect(await refusalOf(world.runs.get('wrun_x'))).toEqual({ name: 'WorkflowRunNotFoundError' });
    expect(await refusalOf(world.events.create(newId(), event('run_completed', undefined, {})))).toEqual({
      name: 'WorkflowRunNotFoundError',
    });
    expect(await refusalOf(world.events.create(old, runCreated(world)))).toEqual({ name: 'WorkflowWorldError', status: 400 });
    expect(await refusalOf(world.steps.get(runId, 'step_x'))).toMatchObject({ name: 'WorkflowWorldError' });
    expect(await refusalOf(world.hooks.get('hook_x'))).toEqual({ name: 'HookNotFoundError' });
    expect(await refusalOf(world.events.create(runId, event('nonsense')))).toEqual({ name: 'WorkflowWorldError', status: 400 });
    expect(await refusalOf(world.events.create(runId, event('step_created', 'a\0b', { stepName: 's' })))).toMatchObject({ status: 400 });
    expect(await refusalOf(world.runs.get(7 as unknown as string))).toEqual({ name: 'WorkflowWorldError', status: 400 });
    await database.query('UPDATE durable_world.world_runs SET spec_version = 99 WHERE run_id = $1', [runId]);
    expect(await refusalOf(world.events.create(runId, event('run_cancelled')))).toEqual({ name: 'RunNotSupportedError' });
  });

  it('starts a run whose creation was lost, however late its first message arrives', async () => {
    const runId = 'wrun_01H00000000000000000000000';
    const { eventData } = runCreated(world);
    const started = await world.events.create(runId, event('run_started', undefined, eventData));
    expect(started.run).toMatchObject({ runId, status: 'running', input: bytes(1, 2, 3) });
    expect(started.events!.map(({ eventType }) => eventType)).toEqual(['run_created', 'run_started']);
  });

  it('answers the events that the writer did not know, where places are dense', async () => {
    const runId = await startRun(world);
    await world.events.create(runId, event('wait_created', 'wait_1', { resumeAt: new Date() }));
    const waiting = event('wait_created', 'wait_2', { resumeAt: new Date() });
    const { events } = await world.events.create(runId, waiting, { eventCount: 2 });
    expect(events?.map(({ correlationId }) => correlationId)).toEqual(line === 'beta7' ? ['wait_1'] : undefined);
  });

  it('changes attributes in full or not at all', async () => {
    if (line === 'stable') return;
    const runId = await startRun(world);
    const set = (changes: unknown, correlationId?: string): Promise<unknown> =>
      world.events.create(runId, event('attr_set', correlationId, { changes, writer: { type: 'workflow' } }));
    await set([{ key: 'customer', value: 'c1' }], 'attr_1');
    expect(await refusalOf(set([{ key: 'customer', value: 'c2' }], 'attr_1'))).toEqual({ name: 'EntityConflictError' });
    const malformed: unknown[] = [
      7,
      [null],
      [{ key: '', value: 'x' }],
      [{ key: '$own', value: 'x' }],
      [{ key: 'k', value: 7 }],
      [{ key: 'k', value: 'x'.repeat(257) }],
      Array.from({ length: 65 }, (_, index) => ({ key: `k${index}`, value: 'x' })),
    ];
    for (const changes of malformed) expect(await refusalOf(set(changes))).toEqual({ name: 'AttributeValidationError' });
    await set([
      { key: 'customer', value: null },
      { key: 'order', value: 'o1' },
    ]);
    expect((await world.runs.get(runId)).attributes).toEqual({ order: 'o1' });
    expect((await world.events.list({ runId })).data).toHaveLength(4);
  });

  it('keeps dates after the year 9999', async () => {
    const runId = await startRun(world);
    const resumeAt = new Date(Date.UTC(12_000, 0, 1));
    const { wait } = await world.events.create(runId, event('wait_created', 'wait_1', { resumeAt }));
    expect(wait!.resumeAt).toEqual(resumeAt);
    expect((await world.events.list({ runId })).data.at(-1)!.eventData).toEqual({ resumeAt });
  });

  /** Number of rows that all parts of a statement's plan find, drop and join. */
  const rowsRead = async (statement: Statement, values: unknown[]): Promise<number> => {
    interface Plan {
      readonly 'Actual Rows': number;
      readonly 'Actual Loops': number;
      readonly 'Rows Removed by Filter'?: number;
      readonly 'Rows Removed by Index Recheck'?: number;
      readonly Plans?: Plan[];
    }
    const count = (plan: Plan): number =>
      (plan['Actual Rows'] + (plan['Rows Removed by Filter'] ?? 0) + (plan['Rows Removed by Index Recheck'] ?? 0)) * plan['Actual Loops'] +
      (plan.Plans ?? []).reduce((sum, each) => sum + count(each), 0);
    const [row] = await database.query<{ 'QUERY PLAN': [{ Plan: Plan }] }>(
      `EXPLAIN (ANALYZE, FORMAT JSON) ${statement.text('durable_world', '')}`,
      values,
    );
    return count(row!['QUERY PLAN'][0].Plan);
  };

  it('reads few rows for the next step of a run with 1,000 steps', async () => {
    const addSteps = async (runId: string, count: number): Promise<void> => {
      for (let from = 0; from < count; from += 50)
        await Promise.all(
          Array.from({ length: Math.min(50, count - from) }, async (_, index) => {
            const step = `step_${from + index}`;
            await world.events.create(runId, event('step_created', step, { stepName: 's', input: bytes(1) }));
            await world.events.create(runId, event('step_started', step));
            await world.events.create(runId, event('step_completed', step, { result: bytes(2) }));
          }),
        );
    };
    const measure = async (runId: string): Promise<number[]> => {
      const values = (type: string, ...more: unknown[]): unknown[] => [runId, type, 'step_next', null, '\\x01', null, SPECS[line], ...more];
      return [
        await rowsRead(sql.CREATE_STEP, values('step_created', 's')),
        await rowsRead(sql.START_STEP, values('step_started')),
        await rowsRead(sql.END_STEP, values('step_completed', 'completed')),
        await rowsRead(sql.READ_STATE, [runId, 'step_next']),
      ];
    };
    // The statements are those of all lines.
    if (line !== 'beta7') return;
    const runId = await startRun(world);
    await addSteps(runId, 1_000);
    // A statement that looks at all steps or events of the run reads a thousand rows and more.
    for (const rows of await measure(runId)) expect(rows).toBeLessThan(500);
    expect((await world.events.list({ runId, pagination: { limit: 1_000 } })).data).toHaveLength(1_000);
  });

  it('shows each of 400 events once, in order, to a reader of pages of seven while four writers add them', async () => {
    const runId = await startRun(world);
    const others = [world, createTestWorld(line, { databaseUrl: database.url })];
    let isWriting = true;
    const writing = Promise.all(
      Array.from({ length: 4 }, async (_, writer) => {
        for (let index = 0; index < 100; index++)
          await others[writer % 2]!.events.create(runId, event('wait_created', `wait_${writer}_${index}`, { resumeAt: new Date() }));
      }),
    ).finally(() => (isWriting = false));
    const seen: string[] = [];
    for (let cursor: string | undefined, isLast = false; !isLast;) {
      const wasWriting = isWriting;
      const page = await world.events.list({ runId, pagination: { limit: 7, ...(cursor === undefined ? {} : { cursor }) } });
      seen.push(...page.data.map(({ eventId }) => eventId));
      cursor = page.cursor ?? cursor;
      isLast = !wasWriting && page.data.length === 0;
    }
    await writing;
    await others[1]!.close();
    const { data } = await world.events.list({ runId, pagination: { limit: 1_000 } });
    expect(data).toHaveLength(402);
    expect(seen).toEqual(data.map(({ eventId }) => eventId));
  });

  it('lists each run once, newest first, while runs arrive', async () => {
    const workflowName = `listed_${line}`;
    const create = async (): Promise<string> => {
      const runId = newId();
      await world.events.create(runId, runCreated(world, { workflowName }));
      return runId;
    };
    const first = await Promise.all(Array.from({ length: 20 }, create));
    const seen: string[] = [];
    for (let cursor: string | null | undefined; cursor !== null;) {
      const page = await world.runs.list({ workflowName, pagination: { limit: 7, ...(cursor === undefined ? {} : { cursor }) } });
      seen.push(...page.data.map(({ runId }) => runId));
      cursor = page.hasMore ? page.cursor : null;
      await create();
    }
    expect(seen).toEqual(first.toSorted().toReversed());
  });
});
