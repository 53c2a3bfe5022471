import { expect, it } from '@jest/globals';

import type { StreamEvent } from '../../src/index.js';
import { FaultScene } from '../support/faults/fault-workers.js';
import { crashServer, ownServer } from '../support/faults/own-server.js';
import { StreamFollower } from '../support/faults/stream-follower.js';
import { spawnCompiled, type SpawnedProcess } from '../support/processes.js';
import { waitFor } from '../support/wait.js';

/** A reader in a process that is killed, and continues in another one. */
class MortalReader {
  readonly follower = new StreamFollower();
  isOver = false;
  private process: SpawnedProcess;
  private seen = 0;

  constructor(private readonly url: string) {
    this.process = this.launch();
  }

  /** Takes what the process has printed. */
  takeAll(): void {
    const lines = this.process.stdoutLines.slice(this.seen);
    this.seen += lines.length;
    for (const line of lines) {
      const event = JSON.parse(line) as StreamEvent;
      if (event.type === 'end') this.isOver = true;
      else this.follower.take(event);
    }
  }

  async killAndContinue(): Promise<void> {
    this.process.kill('SIGKILL');
    await this.process.exited;
    this.takeAll();
    this.seen = 0;
    this.process = this.launch();
  }

  async end(): Promise<void> {
    this.process.kill('SIGKILL');
    await this.process.exited;
  }

  private launch(): SpawnedProcess {
    const settings = { url: this.url, runId: 'story', stream: 'story', from: this.follower.next };
    return spawnCompiled('test/processes/stream-reader.ts', { env: { READER_SETTINGS: JSON.stringify(settings) } });
  }
}

it('every reader of a stream ends with the same chunks in order, even when writers, readers and the server fail', async () => {
  const scene = await FaultScene.create(await ownServer());
  let mortal: MortalReader | undefined;
  try {
    const input = { steps: 4, chunks: 60, ms: 10 };
    const expected = Array.from({ length: input.steps }, (_, step) => [
      `chapter ${step}`,
      ...Array.from({ length: input.chunks }, (_, chunk) => `${step}.${chunk}`),
    ]).flat();
    const workers = [await scene.ready(), await scene.ready()];
    await scene.start('telling', input, ['story']);
    const reader = new MortalReader(scene.database.url);
    mortal = reader;
    const handle = scene.application.client.getHandle('story');
    const followers = [Infinity, 50, 7].map((patience) => ({ follower: new StreamFollower(), patience }));
    const followed = Promise.all(followers.map(({ follower, patience }) => follower.follow(handle, 'story', patience)));
    for (const step of [0, 1, 2]) {
      // The worker of this step and the reader die. The server crashes, or the connections are cut.
      const middle = JSON.stringify(`${step}.10`);
      await waitFor(async () => {
        const found = await scene.database.query(
          `SELECT 1 FROM durable.workflow_stream_chunks WHERE run_id = 'story' AND data::text = $1`,
          [middle],
        );
        return found.length > 0;
      });
      const pid = (await scene.pidsOf('story', `tell ${step}`)).at(-1);
      workers.find((worker) => worker.child.pid === pid)!.kill('SIGKILL');
      if (step === 1) await crashServer(scene.database);
      await reader.killAndContinue();
      await waitFor(() => scene.database.query('SELECT 1'));
      workers.push(await scene.ready());
      await scene.database.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name LIKE 'nestjs-durable%'`);
    }
    for (const values of await followed) expect(values).toEqual(expected);
    for (const { follower } of followers) expect(follower.problems).toEqual([]);
    await waitFor(() => {
      reader.takeAll();
      return reader.isOver;
    });
    expect(reader.follower.values).toEqual(expected);
    expect(reader.follower.problems).toEqual([]);
    const late = new StreamFollower();
    expect(await late.follow(handle, 'story')).toEqual(expected);
    expect(late.problems).toEqual([]);
    // At least one writer died in the middle of a body, which another process then executed again.
    const bodies = await scene.database.query<{ pid: number }>('SELECT pid FROM bodies');
    expect(bodies.length).toBeGreaterThan(input.steps);
    expect(new Set(bodies.map(({ pid }) => pid)).size).toBeGreaterThan(1);
  } finally {
    await mortal?.end();
    await scene.close();
  }
});
