import { migrationSql } from 'nestjs-durable';
import pg from 'pg';
import { monotonicFactory } from 'ulid';
import type { BenchServer } from './server.js';

const nextId = monotonicFactory();

/** A database of its own with the package's tables, and plain connections to it. */
export interface FloorDatabase {
  readonly clients: readonly pg.Client[];
  close(): Promise<void>;
}

export async function openFloor(server: BenchServer, connections: number): Promise<FloorDatabase> {
  const database = await server.createDatabase();
  // Settings of the package's own connections: a plan made for an empty table must not scan a full
  // one.
  const options = '-c enable_seqscan=off -c jit=off';
  const clients = Array.from({ length: connections }, () => new pg.Client({ connectionString: database.url, options }));
  const close = async (): Promise<void> => {
    await Promise.all(clients.map((client) => client.end()));
    await database.drop();
  };
  for (const client of clients) client.on('error', () => undefined);
  await Promise.all(clients.map((client) => client.connect()));
  await clients[0]!.query(migrationSql());
  return { clients, close };
}

const RUN_COLUMNS = 'id, name, version, queue, input, start_nonce, deployment_id, created_at, status, started_at, session_id, epoch';
const RUN_VALUES = `'floor', 1, 'default', '{"n":1}', 1, 'floor', now(), 'running', now(), 1, 1`;
const STEP_COLUMNS =
  'run_id, step_key, started_at, finished_at, seq, epoch, attempts, called_after, args_hash, called_after_io, kind, status, output';
const STEP_BESIDE_OUTPUT = `now(), now(), 1, 1, 1, 0, 1, false, 'step', 'completed'`;
const STEP_VALUES = `${STEP_BESIDE_OUTPUT}, '1'`;
const END = `status = 'completed', finished_at = now(), session_id = NULL, output = '1', history_bytes = 450`;

const INSERT_RUN = { name: 'floor_run', text: `INSERT INTO durable.workflow_runs (${RUN_COLUMNS}) VALUES ($1, ${RUN_VALUES})` };
const INSERT_STEP = { name: 'floor_step', text: `INSERT INTO durable.workflow_steps (${STEP_COLUMNS}) VALUES ($1, $2, ${STEP_VALUES})` };
const END_RUN = { name: 'floor_end', text: `UPDATE durable.workflow_runs SET ${END} WHERE id = $1` };
const INSERT_RUNS = {
  name: 'floor_runs',
  text: `INSERT INTO durable.workflow_runs (${RUN_COLUMNS}) SELECT id, ${RUN_VALUES} FROM unnest($1::text[]) AS id`,
};
const INSERT_STEPS = {
  name: 'floor_steps',
  text: `INSERT INTO durable.workflow_steps (${STEP_COLUMNS}) SELECT id, $2, ${STEP_VALUES} FROM unnest($1::text[]) AS id`,
};
const INSERT_TEXTS = {
  name: 'floor_texts',
  text: `INSERT INTO durable.workflow_steps (${STEP_COLUMNS}) SELECT $1::text || n, 'text', ${STEP_BESIDE_OUTPUT}, text FROM unnest($2::json[]) WITH ORDINALITY AS x(text, n)`,
};
const END_RUNS = { name: 'floor_ends', text: `UPDATE durable.workflow_runs SET ${END} WHERE id = ANY ($1::text[])` };

const STEPS = ['one', 'two', 'three'];

/** A statement for each write of a three-step run: an insert, three steps, an update. */
export async function writeRun(client: pg.Client): Promise<void> {
  const id = nextId();
  await client.query({ ...INSERT_RUN, values: [id] });
  for (const step of STEPS) await client.query({ ...INSERT_STEP, values: [id, step] });
  await client.query({ ...END_RUN, values: [id] });
}

/** Writes the same rows for several runs at once, one statement per kind of row. */
export async function writeRuns(client: pg.Client, count: number): Promise<void> {
  const ids = Array.from({ length: count }, () => nextId());
  await client.query({ ...INSERT_RUNS, values: [ids] });
  for (const step of STEPS) await client.query({ ...INSERT_STEPS, values: [ids, step] });
  await client.query({ ...END_RUNS, values: [ids] });
}

/** Four single-row inserts one after another. */
export async function writeFour(client: pg.Client): Promise<void> {
  const id = nextId();
  await client.query({ ...INSERT_RUN, values: [id] });
  for (const step of STEPS) await client.query({ ...INSERT_STEP, values: [id, step] });
}

/** One run's steps, each inserted by itself. */
export async function writeSteps(client: pg.Client, count: number): Promise<void> {
  const id = nextId();
  for (let n = 1; n <= count; n++) await client.query({ ...INSERT_STEP, values: [id, `step#${n}`] });
}

/** Writes a step for each text of JSON, in one statement. */
export async function writeTexts(client: pg.Client, texts: readonly string[]): Promise<void> {
  await client.query({ ...INSERT_TEXTS, values: [nextId(), texts] });
}

/** Calls `work` on each connection for so long. Returns how many calls a second there were. */
export async function rateOf(clients: readonly pg.Client[], seconds: number, work: (client: pg.Client) => Promise<void>): Promise<number> {
  const began = performance.now();
  const deadline = began + seconds * 1_000;
  let calls = 0;
  const lane = async (client: pg.Client): Promise<void> => {
    while (performance.now() < deadline) {
      await work(client);
      calls++;
    }
  };
  await Promise.all(clients.map(lane));
  return (calls / (performance.now() - began)) * 1_000;
}
