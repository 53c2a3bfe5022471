import { setTimeout as sleep } from 'node:timers/promises';
import { Workflow, type WorkflowClient, type WorkflowContext } from 'nestjs-durable';
import pg from 'pg';
import { startLimited } from '../application.js';
import type { Bench } from '../bench.js';
import { withClient } from '../server.js';

const KEYS = 1_000;
const STUCK = 100_000;
const BODY_MS = 50;
const CONCURRENCY = 7;
const PER_SECOND = 500;

/** Times at which bodies of the row `rate` began. */
let begun: number[] = [];

/** A run of a key of its own, with three steps that do nothing. */
@Workflow({ name: 'keyed', queue: 'free', queueKey: ({ n }: { n: number }) => `key-${n % KEYS}` })
export class Keyed {
  async run({ n }: { n: number }, ctx: WorkflowContext): Promise<number> {
    for (const name of ['one', 'two', 'three']) await ctx.step(name, () => n);
    return n;
  }
}

/** A run with one body of a given length. */
@Workflow({ name: 'timed', queue: 'limited' })
export class Timed {
  async run({ ms }: { ms: number }, ctx: WorkflowContext): Promise<void> {
    await ctx.step('body', async () => {
      begun.push(performance.now());
      if (ms > 0) await sleep(ms);
    });
  }
}

const WORKFLOWS = [Keyed, Timed];
const QUEUES = {
  free: {},
  keyed: { key: { concurrency: 1 } },
  limited: { concurrency: CONCURRENCY },
  rated: { rateLimit: { limit: PER_SECOND, period: '1s' } },
} as const;

/**
 * Throughput of a queue with 1,000 keys and one run of each key at a time, over a queue without
 * limits. The second ratio is the same while 100,000 runs of one more key wait.
 */
export async function keyed({ server, quick, say }: Bench) {
  const runs = quick ? 10_000 : 40_000;
  const database = await server.createDatabase();
  const application = await startLimited(database.url, QUEUES, WORKFLOWS);
  const { client } = application;
  try {
    await throughput(client, 'free', 2_000);
    await throughput(client, 'keyed', 2_000);
    const free = await throughput(client, 'free', runs);
    const limited = await throughput(client, 'keyed', runs);
    await client.queues.configure('keyed', { key: { concurrency: 1 } });
    await withClient(database.url, (connection) =>
      connection.query(
        `INSERT INTO durable.workflow_runs (id, name, version, queue, status, created_at, ready_at, start_nonce, input, queue_key, place)
        SELECT 'stuck-' || n, 'nobody-has-this', 1, 'keyed', 'waiting', now(), now(), n, '{}', 'stuck', 'queued' FROM generate_series(1, $1::int) AS n`,
        [STUCK],
      ),
    );
    // The first of the stuck runs takes the key's only place, and nobody executes the run.
    const besideStuck = await throughput(client, 'keyed', runs);
    const result = {
      runsPerSecond: limited,
      perUnlimited: limited / free,
      besideStuck: { runsPerSecond: besideStuck, ratio: besideStuck / limited },
    };
    say(
      `keyed: ${limited.toFixed(0)} runs/s, ${result.perUnlimited.toFixed(2)} x unlimited; beside stuck runs ${result.besideStuck.ratio.toFixed(2)} x`,
    );
    return { keyed: result };
  } finally {
    await application.close();
    await database.drop();
  }
}

/**
 * Share of the time for which the places of a queue execute bodies of 50 ms. The floor is the same
 * share of seven loops that store the end of a body and the start of the next one by two updates of
 * one row each.
 */
export async function limited({ server, quick, say }: Bench) {
  const runs = quick ? 700 : 2_800;
  const database = await server.createDatabase();
  const floor = await usedByUpdates(database.url, runs);
  const application = await startLimited(database.url, QUEUES, WORKFLOWS);
  try {
    await executeAll(application.client, 'limited', BODY_MS, CONCURRENCY * 4);
    const began = performance.now();
    await executeAll(application.client, 'limited', BODY_MS, runs);
    const utilisation = (runs * BODY_MS) / (CONCURRENCY * (performance.now() - began));
    say(`limited: the places are used to ${utilisation.toFixed(3)}, by two updates to ${floor.toFixed(3)}`);
    return { limited: { utilisation, floor } };
  } finally {
    await application.close();
    await database.drop();
  }
}

/** Use of a rate limit of 500 runs per second, and the most starts in any second. */
export async function rate({ server, quick, say }: Bench) {
  const runs = PER_SECOND * (quick ? 6 : 20);
  const database = await server.createDatabase();
  const application = await startLimited(database.url, QUEUES, WORKFLOWS);
  try {
    await executeAll(application.client, 'rated', 0, 100);
    begun = [];
    await executeAll(application.client, 'rated', 0, runs);
    const times = begun.sort((a, b) => a - b);
    const seconds = (times.at(-1)! - times[0]!) / 1_000;
    const used = (times.length - 1) / seconds / PER_SECOND;
    let most = 0;
    for (let first = 0, last = 0; last < times.length; last++) {
      while (times[last]! - times[first]! >= 1_000) first++;
      most = Math.max(most, last - first + 1);
    }
    say(`rate: used to ${used.toFixed(3)}, at most ${most} in a second`);
    return { rate: { used, mostInWindow: most } };
  } finally {
    await application.close();
    await database.drop();
  }
}

async function usedByUpdates(url: string, bodies: number): Promise<number> {
  const pool = new pg.Pool({ connectionString: url, max: CONCURRENCY });
  try {
    await pool.query('CREATE TABLE floor (n int PRIMARY KEY, changes int NOT NULL)');
    await pool.query('INSERT INTO floor SELECT n, 0 FROM generate_series(0, $1::int) AS n', [bodies]);
    const change = (n: number): Promise<unknown> =>
      pool.query({ name: 'change', text: 'UPDATE floor SET changes = changes + 1 WHERE n = $1', values: [n] });
    await Promise.all(Array.from({ length: CONCURRENCY * 4 }, (_, n) => change(n)));
    let next = 0;
    const loop = async (): Promise<void> => {
      while (next < bodies) {
        const n = next++;
        await sleep(BODY_MS);
        await change(n);
        await change(n + 1);
      }
    };
    const began = performance.now();
    await Promise.all(Array.from({ length: CONCURRENCY }, loop));
    return (bodies * BODY_MS) / (CONCURRENCY * (performance.now() - began));
  } finally {
    await pool.end();
  }
}

async function throughput(client: WorkflowClient, queue: string, runs: number): Promise<number> {
  const inFlight = 1_000;
  let n = 0;
  const began = performance.now();
  const lane = async (): Promise<void> => {
    while (n < runs) await (await client.start(Keyed, { n: n++ }, { queue })).result();
  };
  await Promise.all(Array.from({ length: inFlight }, lane));
  return runs / ((performance.now() - began) / 1_000);
}

async function executeAll(client: WorkflowClient, queue: string, ms: number, runs: number): Promise<void> {
  const handles = await client.startMany(
    Timed,
    Array.from({ length: runs }, () => ({ ms })),
    { queue },
  );
  await Promise.all(handles.map((handle) => handle.result()));
}
