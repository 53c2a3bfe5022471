import { describe, expect, it } from '@jest/globals';

import { waitFor } from '../support/wait.js';
import { useStage } from './harness.js';
import { approved, Either, rejected } from './workflows.js';

describe('ctx.race', () => {
  const stage = useStage({ suspendAfter: 20 });

  it.each(['running', 'waiting'])('ends with the first signal, and keeps the second one, in a run that is %s', async (status) => {
    const { client, database } = stage();
    const handle = await client.start(Either, { timeout: 60_000 });
    await waitFor(
      async () => (await database.query('SELECT 1 FROM durable.workflow_waits WHERE run_id = $1', [handle.runId])).length === 3,
    );
    if (status === 'waiting') await waitFor(async () => (await handle.status()) === 'waiting');
    await handle.signal(rejected, { why: 'dear' });
    // When both signals are in the inbox, the branch that is named first wins.
    await waitFor(async () => (await handle.steps()).some(({ stepKey }) => stepKey === 'signal:rejected'));
    await handle.signal(approved, { by: 'ann' });
    expect(await handle.result()).toEqual({ first: 'rejected', left: { by: 'ann' } });
  });

  it('ends with its sleep when no signal comes, even in a suspended run', async () => {
    expect(await stage().client.execute(Either, { timeout: 150 })).toEqual({ first: 'late', left: null });
  });

  it('closes the waits of the branches that lost', async () => {
    const { client, database } = stage();
    const handle = await client.start(Either, { timeout: 1 });
    await waitFor(async () => (await client.steps(handle.runId)).some(({ stepKey }) => stepKey === 'sleep'));
    const waits = (): Promise<{ step_key: string }[]> =>
      database.query('SELECT step_key FROM durable.workflow_waits WHERE run_id = $1', [handle.runId]);
    await waitFor(async () => (await waits()).length <= 1);
    await handle.result();
    expect(await waits()).toEqual([]);
  });
});
