import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { killSpawned } from '../support/processes.js';
import { waitFor } from '../support/wait.js';
import { KitApplication } from './support/kit-application.js';
import type { Line } from './support/test-world.js';

describe.each<[line: Line, version: string, env: Record<string, string>]>([
  ['stable', '4.8.9', {}],
  ['beta7', '5.0.0-beta.55', {}],
  ['beta7', '5.0.0-beta.55 with spec 6', { WORKFLOW_SEALED_LOG: '0' }],
])('an application of %s, workflow %s', (line, _version, env) => {
  let database: TestDatabase;
  let application: KitApplication;

  beforeAll(async () => {
    database = await createTestDatabase();
    application = await KitApplication.start(line, database.url, env);
  });

  afterAll(async () => {
    await killSpawned();
    await database.drop();
  });

  it('executes steps one after another', async () => {
    const runId = await application.run('addThree', 4);
    expect(await application.ended(runId)).toEqual({ status: 'completed', output: 7 });
  });

  it('executes steps in parallel', async () => {
    const runId = await application.run('parallel', 10);
    expect(await application.ended(runId)).toEqual({ status: 'completed', output: 55 });
  });

  it('tries a step again that asks for it', async () => {
    const runId = await application.run('retries', 3);
    expect(await application.ended(runId)).toEqual({ status: 'completed', output: 3 });
  });

  it('fails a run whose step fails for good', async () => {
    const runId = await application.run('fails');
    expect(await application.ended(runId)).toEqual({ status: 'failed' });
  });

  it('sleeps', async () => {
    const runId = await application.run('sleeps', '1s');
    expect(await application.ended(runId)).toEqual({ status: 'completed', output: 'awake' });
  });

  it('waits for a hook', async () => {
    const runId = await application.run('waitsForHook', 'approval');
    await waitFor(() => application.call('/hooks/approval', { value: 5 }), { message: 'the hook' });
    expect(await application.ended(runId)).toEqual({ status: 'completed', output: 6 });
  });

  it('streams what a step writes', async () => {
    const runId = await application.run('streams', ['one ', 'two ', 'three']);
    const response = await fetch(`${application.url}/runs/${runId}?stream`);
    expect(await response.text()).toBe('one two three');
  });

  it('cancels a run that waits', async () => {
    const runId = await application.run('waitsForHook', 'never');
    await waitFor(async () => (await application.show(runId)).status === 'running');
    await application.call(`/cancel/${runId}`);
    expect(await application.ended(runId)).toEqual({ status: 'cancelled' });
  });

  it('aborts a step that a workflow tells to stop', async () => {
    // The stable line has no AbortController in workflows.
    if (line === 'stable') return;
    const runId = await application.run('aborts');
    expect(await application.ended(runId)).toEqual({ status: 'completed', output: 'aborted' });
  });

  it('keeps the bytes of inputs and results', async () => {
    const all = Buffer.from(Array.from({ length: 256 }, (_, index) => index)).toString('base64');
    const runId = await application.run('bytes', { $bytes: all });
    expect(await application.ended(runId)).toEqual({ status: 'completed', output: { $bytes: all } });
  });

  it('leaves no message and one event of each kind behind', async () => {
    const runId = await application.run('addThree', 1);
    await application.ended(runId);
    await waitFor(async () => (await database.query('SELECT FROM durable_world.world_messages WHERE run_id = $1', [runId])).length === 0);
    const events = await database.query<{ type: string; slot: string }>(
      'SELECT type, slot FROM durable_world.world_events WHERE run_id = $1 ORDER BY slot',
      [runId],
    );
    expect(events.map(({ slot }) => Number(slot))).toEqual(events.map((_, index) => index + 1));
    expect(events.filter(({ type }) => type === 'step_completed')).toHaveLength(3);
    expect(events.at(-1)!.type).toBe('run_completed');
  });
});
