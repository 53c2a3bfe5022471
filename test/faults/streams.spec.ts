import { expect, it } from '@jest/globals';

import type { StreamEvent, WorkflowHandle } from '../../src/index.js';
import { onScene } from '../support/faults/fault-workers.js';
import { waitFor } from '../support/wait.js';

/** A reader that keeps what counts, and begins again after each of its interruptions. */
class Follower {
  readonly kept = new Map<number, Extract<StreamEvent<string>, { type: 'chunk' }>>();
  readonly problems: string[] = [];
  private next = 0;

  constructor(
    private readonly handle: WorkflowHandle,
    /** Number of events after which the reader leaves and comes back. */
    private readonly patience: number,
  ) {}

  async follow(): Promise<string[]> {
    for (;;) {
      const reader = this.handle.stream<string>('story', { form: 'events', from: this.next });
      let left = this.patience;
      try {
        for await (const event of reader) {
          if (event.type === 'end') return [...this.kept.values()].map(({ value }) => value);
          this.take(event);
          if (--left === 0) break;
        }
      } catch (error) {
        // The database was away.
        if ((error as { code?: string }).code === 'CLOSED') throw error;
      }
    }
  }

  private take(event: Exclude<StreamEvent<string>, { type: 'end' }>): void {
    if (event.index < this.next) this.problems.push(`place ${event.index} came after place ${this.next - 1}`);
    this.next = event.index + 1;
    if (event.type === 'chunk') this.kept.set(event.index, event);
    else for (const [index, { stepKey }] of this.kept) if (index >= event.from && stepKey === event.stepKey) this.kept.delete(index);
  }
}

it(
  'every reader of a stream ends with the same chunks in order, whatever happens to its writers and to connections',
  onScene(async (scene) => {
    const input = { steps: 4, chunks: 60, ms: 10 };
    const expected = Array.from({ length: input.steps }, (_, step) => [
      `chapter ${step}`,
      ...Array.from({ length: input.chunks }, (_, chunk) => `${step}.${chunk}`),
    ]).flat();
    const workers = [await scene.ready(), await scene.ready()];
    await scene.start('telling', input, ['story']);
    const handle = scene.application.client.getHandle('story');
    const followers = [Infinity, 50, 7].map((patience) => new Follower(handle, patience));
    const followed = Promise.all(followers.map((follower) => follower.follow()));
    for (const step of [0, 1, 2]) {
      // The worker of this step dies, and the connections of the others are cut.
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
      workers.push(await scene.ready());
      await scene.database.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name LIKE 'nestjs-durable%'`);
    }
    for (const values of await followed) expect(values).toEqual(expected);
    for (const { problems } of followers) expect(problems).toEqual([]);
    const late = new Follower(handle, Infinity);
    expect(await late.follow()).toEqual(expected);
    expect(late.kept.size).toBe(expected.length);
    // At least one writer died in the middle of a body, which another process then executed again.
    const bodies = await scene.database.query<{ pid: number }>('SELECT pid FROM bodies');
    expect(bodies.length).toBeGreaterThan(input.steps);
    expect(new Set(bodies.map(({ pid }) => pid)).size).toBeGreaterThan(1);
  }),
);
