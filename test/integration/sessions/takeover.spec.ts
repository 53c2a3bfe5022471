import { describe, expect, it } from '@jest/globals';

import { onScene, range } from '../../support/faults/fault-workers.js';
import { PATIENCE, waitFor } from '../../support/wait.js';

const TTL_MS = 2_000;

describe('the runs of a worker that is killed', () => {
  it.each([
    ['within 1.5 seconds with a direct connection', true, '30s', 1_500],
    ['within two seconds after its session expires without a direct connection', false, TTL_MS, TTL_MS + 2_000],
  ])('are taken over %s', (_, listen, sessionTtl, limit) =>
    onScene(async (scene) => {
      const ids = range(`listen-${listen}-`, 10);
      const options = { listen, worker: { sessionTtl } };
      const victim = await scene.ready(options);
      await scene.start('gated', {}, ids);
      await Promise.all(ids.map((id) => victim.waitForLine(new RegExp(`^body ${id}$`))));
      const heir = await scene.ready(options);
      // The sweeper runs twice in this time, so the heir has seen that the victim lives.
      await new Promise((resolve) => setTimeout(resolve, 700));
      expect(await scene.sessions()).toEqual([victim.child.pid, heir.child.pid]);

      const killedAt = performance.now();
      victim.kill('SIGKILL');
      await Promise.race(ids.map((id) => heir.waitForLine(new RegExp(`^body ${id}$`))));
      const took = performance.now() - killedAt;
      expect(took).toBeLessThan(limit * PATIENCE);
      await scene.open(ids);
      await waitFor(async () => (await scene.statuses(`listen-${listen}-`))['completed'] === ids.length, { message: 'all to complete' });
      expect(await scene.sessions()).toEqual([heir.child.pid]);
      if (process.env['DURABLE_TEST_LOG'])
        console.log(
          `taken over after ${Math.round(took)} ms, all ended after ${Math.round(performance.now() - killedAt)} ms (listen: ${listen})`,
        );
    })(),
  );

  it(
    'are executed again while the heir executes new runs beside them',
    onScene(async (scene) => {
      const ids = range('lost-', 10);
      const victim = await scene.ready();
      await scene.start('gated', {}, ids);
      await Promise.all(ids.map((id) => victim.waitForLine(new RegExp(`^body ${id}$`))));
      const heir = await scene.ready();
      victim.kill('SIGKILL');
      await heir.waitForLine(/^body lost-/);
      await scene.start('adder', { steps: 1, ms: 1 }, ['new']);
      await waitFor(async () => (await scene.statuses('new'))['completed'] === 1, {
        timeoutMs: 8_000,
        message: 'new work beside what was lost',
      });
      await scene.open(ids);
      await waitFor(async () => (await scene.statuses('lost-'))['completed'] === ids.length, { message: 'all to complete' });
    }),
  );
});
