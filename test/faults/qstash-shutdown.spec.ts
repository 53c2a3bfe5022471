import { describe, expect, it } from '@jest/globals';

import type { WorkflowClient } from '../../src/index.js';
import { QStashEmulator } from '../../src/testing/index.js';
import { FrontDoor } from '../chaos/qstash/front-door.js';
import { startApplication } from '../support/application.js';
import { onScene, type FaultScene, type FaultWorkerOptions } from '../support/faults/fault-workers.js';
import type { SpawnedProcess } from '../support/processes.js';
import { seconds, waitFor } from '../support/wait.js';

interface Stage {
  readonly scene: FaultScene;
  readonly client: WorkflowClient;
  readonly qstash: QStashEmulator;
  /** Starts an application process that nobody calls yet. */
  boot(worker?: FaultWorkerOptions['worker']): Promise<SpawnedProcess>;
  /** Adds the process to the load balancer, so that QStash reaches it. */
  enter(application: SpawnedProcess): Promise<void>;
  /** Removes the process from the load balancer, and sends SIGTERM to it. */
  terminate(application: SpawnedProcess): void;
}

/**
 * Runs a test with application processes behind one address, a QStash that calls them, and a client
 * that executes nothing. No schedule calls the sweep.
 */
function onStage(test: (stage: Stage) => Promise<void>): () => Promise<void> {
  return onScene(async (scene) => {
    const ports = new Map<SpawnedProcess, number>();
    const door = await FrontDoor.open(() => [...ports.values()]);
    const qstash = await QStashEmulator.start();
    const { url, token, currentSigningKey, nextSigningKey } = qstash;
    const options = { url, token, currentSigningKey, nextSigningKey, targetUrl: door.url, sweep: false } as const;
    const application = await startApplication(scene.database.url, [], { worker: false, transport: 'qstash', qstash: options });
    const { client } = application;
    const boot = (worker: FaultWorkerOptions['worker'] = {}): Promise<SpawnedProcess> =>
      scene.ready({ hooks: true, worker, qstash: options });
    const enter = async (application: SpawnedProcess): Promise<void> => {
      ports.set(application, Number(/\d+/.exec(await application.waitForLine(/^listening /))![0]));
    };
    const terminate = (application: SpawnedProcess): void => {
      ports.delete(application);
      application.kill('SIGTERM');
    };
    try {
      await test({ scene, client, qstash, boot, enter, terminate });
    } finally {
      await application.close();
      await door.close();
      await qstash.close();
    }
  });
}

const lossesOf = async (scene: FaultScene, id: string): Promise<number> => {
  const [row] = await scene.database.query<{ losses: number }>('SELECT worker_losses AS losses FROM durable.workflow_runs WHERE id = $1', [
    id,
  ]);
  return row!.losses;
};

describe('an application that receives SIGTERM during a delivery of QStash', () => {
  it.concurrent(
    'lets the body end, records its step and hands the run back, which another process continues without a repeated body',
    onStage(async ({ scene, client, qstash, boot, enter, terminate }) => {
      // A body may last a minute, so a slow boot must not be part of it.
      const [first, second] = await Promise.all([boot({ shutdownTimeout: '60s' }), boot()]);
      await enter(first);
      await client.start('diary', { pages: 3 }, { id: 'story' });
      await first.waitForLine(/^body story\/1$/);
      await scene.open(['story/1']);
      await first.waitForLine(/^body story\/2$/);
      await enter(second);
      terminate(first);
      await first.waitForLine(/^received SIGTERM$/);
      expect(await scene.statuses('story')).toEqual({ running: 1 });
      await scene.open(['story/2']);
      expect(await first.exited).toEqual({ code: 0, signal: null });
      await second.waitForLine(/^body story\/3$/);
      await scene.open(['story/3']);
      const pages = await client.getHandle<string[]>('story').result({ timeout: seconds(20) });
      expect(pages.map((page) => page[0])).toEqual(['1', '2', '3']);
      const [one, two] = [first.child.pid, second.child.pid];
      expect([await scene.pidsOf('story', 'page-1'), await scene.pidsOf('story', 'page-2')]).toEqual([[one], [one]]);
      expect(await scene.pidsOf('story', 'page-3')).toEqual([two]);
      expect(await lossesOf(scene, 'story')).toBe(0);
      expect(first.stdoutLines.filter((line) => /^(aborted|WARN|ERROR|UNHANDLED)/.test(line))).toEqual([]);
      await waitFor(() => qstash.deliveries.every(({ status }) => status === 200), { message: 'answers to both deliveries' });
      expect(qstash.deliveries).toHaveLength(2);
      await waitFor(async () => (await scene.sessions()).length === 0);
    }),
  );

  for (const [what, deaf] of Object.entries({ 'aborts a body that': false, 'does not wait for a body that ignores its abort and': true })) {
    it.concurrent(
      `${what} takes longer than shutdownTimeout, and another process executes the body at once`,
      onStage(async ({ scene, client, boot, enter, terminate }) => {
        const [first, second] = await Promise.all([boot({ shutdownTimeout: '700ms' }), boot()]);
        await enter(first);
        await client.start('gated', { deaf }, { id: 'long' });
        await first.waitForLine(/^body long$/);
        await enter(second);
        const since = performance.now();
        terminate(first);
        await first.waitForLine(/^aborted long: ClosedError$/);
        expect(await first.exited).toEqual({ code: 0, signal: null });
        expect(performance.now() - since).toBeGreaterThan(650);
        // The body would wait for ever, so any end of the process shows that nothing waited for it.
        await second.waitForLine(/^body long$/);
        await scene.open(['long']);
        expect(await client.getHandle('long').result({ timeout: seconds(20) })).toBe('opened, then over');
        expect(await scene.pidsOf('long', 'gate')).toEqual([first.child.pid, second.child.pid]);
        expect(await scene.pidsOf('long', 'after')).toEqual([second.child.pid]);
        expect(await lossesOf(scene, 'long')).toBe(0);
        expect(await scene.database.query('SELECT kind FROM durable.workflow_run_log')).toEqual([]);
        expect(first.stdoutLines.filter((line) => /^(ERROR|UNHANDLED)/.test(line))).toEqual([]);
      }),
    );
  }
});
