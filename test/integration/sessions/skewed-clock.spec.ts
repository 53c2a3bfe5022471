import { describe, expect, it } from '@jest/globals';

import { onScene } from '../../support/faults/fault-workers.js';
import { waitFor } from '../../support/wait.js';

const MS = 1_000;
const SKEW_MS = 30_000;

describe('a worker whose clock is wrong', () => {
  const lifeOf = `SELECT status, output, extract(epoch FROM finished_at - started_at)::float8 * 1000 AS took,
    (SELECT min(finished_at) < max(finished_at) FROM durable.workflow_steps s WHERE s.run_id = r.id) AS "isOrdered",
    (SELECT bool_and(finished_at BETWEEN r.created_at - interval '1 second' AND now() + interval '1 second') FROM durable.workflow_steps s
      WHERE s.run_id = r.id) AS "isNow"
    FROM durable.workflow_runs r WHERE id = $1`;

  it.concurrent.each([
    ['ahead', SKEW_MS],
    ['behind', -SKEW_MS],
  ])('waits as long as its runs ask, from its first claim on, when the clock is 30 s %s', (side, skewMs) =>
    onScene(async (scene) => {
      // Both runs are due before the worker boots, so its first claim takes them.
      await scene.start('waiting', { ms: MS }, [`waiting-${side}`]);
      await scene.application.client.start('waiting', { ms: 60_000 }, { id: `deadline-${side}`, timeout: 3 * MS });
      const startedAt = performance.now();
      await scene.ready({ skewMs });
      const finished = async (id: string) => {
        await waitFor(async () => (await scene.database.query(lifeOf, [id]))[0].took !== null, { timeoutMs: 40_000, message: id });
        return (await scene.database.query(lifeOf, [id]))[0];
      };
      const waited = await finished(`waiting-${side}`);
      expect(waited).toMatchObject({ status: 'completed', output: 'signal null', isOrdered: true, isNow: true });
      expect(waited.took).toBeGreaterThanOrEqual(4 * MS - 100);
      expect(waited.took).toBeLessThan(SKEW_MS - 5_000);
      expect(await finished(`deadline-${side}`)).toMatchObject({ status: 'failed' });
      expect(performance.now() - startedAt).toBeGreaterThanOrEqual(2 * MS);
    })(),
  );
});
