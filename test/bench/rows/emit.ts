import { setTimeout as sleep } from 'node:timers/promises';

import type { WorkflowClient } from 'nestjs-durable';
import { startApplication } from '../application.js';
import type { Bench } from '../bench.js';
import { withClient } from '../server.js';
import { median } from '../statistics.js';
import { answers, AtTheDoor, rung } from '../workflows.js';

const SUSPEND_AFTER_MS = 1;

/**
 * Suspended runs that one event resumes per second, and events per second that each resume one
 * suspended run. Counted from the first emit to the last run whose code continues.
 */
export async function emit({ server, quick, say }: Bench) {
  const count = quick ? 1_000 : 10_000;
  const database = await server.createDatabase();
  const application = await startApplication(database.url, { suspendAfter: SUSPEND_AFTER_MS }, [AtTheDoor]);
  const { client } = application;
  const resumed: number[] = [];
  const emitted: number[] = [];
  try {
    for (let round = 0; round < (quick ? 1 : 3); round++) {
      const all = `all ${round}`;
      resumed.push(
        await answersPerSecond(
          client,
          database.url,
          Array.from({ length: count }, () => all),
          [all],
        ),
      );
      const doors = Array.from({ length: count }, (_, n) => `${round} ${n}`);
      emitted.push(await answersPerSecond(client, database.url, doors, doors));
    }
  } finally {
    await application.close();
    await database.drop();
  }
  const result = { count, resumedPerSecond: median(resumed), emitsPerSecond: median(emitted), rounds: { resumed, emitted } };
  say(
    `emit: one event resumes ${result.resumedPerSecond.toFixed(0)} runs/s; ${result.emitsPerSecond.toFixed(0)} events/s with one run each`,
  );
  return { emit: result };
}

/**
 * Starts a run for each door and waits until all are suspended. Then emits the events at once, and
 * returns the number of runs that continue per second.
 */
async function answersPerSecond(client: WorkflowClient, url: string, doors: readonly string[], events: readonly string[]): Promise<number> {
  answers.clear();
  const handles = await client.startMany(
    AtTheDoor,
    doors.map((door) => ({ door })),
  );
  const answered = handles.map(({ runId }) => new Promise<void>((resolve) => answers.set(runId, resolve)));
  await allSuspended(url, doors.length);
  const began = performance.now();
  await Promise.all(events.map((door) => client.emit(rung, { door })));
  await Promise.all(answered);
  const seconds = (performance.now() - began) / 1_000;
  await Promise.all(handles.map((handle) => handle.result()));
  return doors.length / seconds;
}

/** Waits until the runs are suspended, and have looked for events that happened before. */
async function allSuspended(url: string, count: number): Promise<void> {
  await withClient(url, async (client) => {
    for (;;) {
      const { rows } = await client.query<{ suspended: number; armed: number }>(
        `SELECT (SELECT count(*)::int FROM durable.workflow_runs WHERE status = 'waiting') AS suspended,
          (SELECT count(*)::int FROM durable.workflow_waits WHERE event_armed) AS armed`,
      );
      if (rows[0]!.suspended === count && rows[0]!.armed === count) return;
      await sleep(250);
    }
  });
}
