import { setTimeout as sleep } from 'node:timers/promises';

import type pg from 'pg';
import type { PushedApplication } from './pushed.js';

interface OpenRun {
  readonly id: string;
  readonly status: string;
  /** True when the run sleeps no more, or never slept. */
  readonly due: boolean;
}

/** A run of which nobody tells, although no fault took its message, would be waited for in vain. */
const LIMIT_MS = 60_000;

const OPEN = `SELECT id, status, coalesce(wake_at <= now(), true) AS due FROM durable.workflow_runs WHERE finished_at IS NULL`;

/**
 * Waits until all runs have ended. When all remaining runs wait for a lost wake-up, lets the minute
 * pass after which the sweep publishes again. Only then: a message that is still under way arrives
 * within the minute, and a second one would be a message that nobody has to pay for.
 */
export async function untilEnded(pushed: PushedApplication, client: pg.Client): Promise<void> {
  const deadline = performance.now() + LIMIT_MS;
  for (;;) {
    const { rows } = await client.query<OpenRun>(OPEN);
    if (rows.length === 0) return;
    if (performance.now() > deadline) throw new Error(`${rows.length} runs do not end, the first is ${JSON.stringify(rows[0])}`);
    const lost = runsWithoutMessage(pushed);
    if (rows.every(({ id, status, due }) => lost.has(id) && due && (status === 'pending' || status === 'waiting'))) {
      await letMinutePass(client);
      await pushed.sweep();
    } else {
      await sleep(50);
    }
  }
}

/** Runs whose newest message was lost. */
function runsWithoutMessage(pushed: PushedApplication): Set<string> {
  const newest = new Map<string, string>();
  for (const { body, state } of pushed.wakeUps()) newest.set((JSON.parse(body) as { run: string }).run, state);
  return new Set([...newest].filter(([, state]) => state === 'lost').map(([run]) => run));
}

/**
 * Lets more than a minute pass for a run that was published again before, because each pause is
 * twice the previous one.
 */
async function letMinutePass(client: pg.Client): Promise<void> {
  await client.query(`UPDATE durable.workflow_runs SET ready_at = ready_at - interval '1 minute' WHERE status = 'pending'`);
  await client.query(`UPDATE durable.workflow_outbox SET next_at = next_at - interval '1 hour'`);
}
