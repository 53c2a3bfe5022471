import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { BenchServer } from './server.js';

/** Beginning of the names of the package's prepared statements that write the journal. */
const FLUSH = 'durable_flush_';

/** Statements whose time is being measured. */
interface Timing {
  readonly database: string;
  readonly prefix: string;
  readonly samples: number[];
}

let timing: Timing | undefined;
let statements = 0;
let flushes = 0;
const original = pg.Client.prototype.query as (...args: unknown[]) => unknown;
pg.Client.prototype.query = function (this: pg.Client, ...args: unknown[]): unknown {
  statements++;
  const { name } = (args[0] ?? {}) as { name?: unknown };
  if (typeof name === 'string' && name.startsWith(FLUSH)) flushes++;
  if (timing && this.database === timing.database && typeof name === 'string' && name.startsWith(timing.prefix)) {
    args = timed(args, timing.samples);
  }
  return original.apply(this, args);
} as typeof pg.Client.prototype.query;

/** Notes when the callback is called that a pool passes as the last argument. */
function timed(args: unknown[], samples: number[]): unknown[] {
  const callback = args.at(-1);
  if (typeof callback !== 'function') return args;
  const began = performance.now();
  const wrapped = (...results: unknown[]): void => {
    samples.push(performance.now() - began);
    callback(...results);
  };
  return [...args.slice(0, -1), wrapped];
}

/**
 * Returns the milliseconds that each statement took that a pool of this process sent to a database
 * meanwhile, of the prepared statements whose names begin with the prefix.
 */
export async function timeStatements(database: string, prefix: string, work: () => Promise<unknown>): Promise<number[]> {
  const samples: number[] = [];
  timing = { database, prefix, samples };
  try {
    await work();
  } finally {
    timing = undefined;
  }
  return samples;
}

/** A server, by a connection that does not measure. */
type Administered = Pick<BenchServer, 'admin'>;

/** Cost of a piece of work. */
export interface Usage {
  readonly cpuMs: number;
  /** CPU time of all PostgreSQL processes; null when they are not visible from here. */
  readonly serverCpuMs: number | null;
  /** Sent by this process. */
  readonly statements: number;
  /** Statements that wrote rows of the journal, among those. */
  readonly flushes: number;
  readonly walBytes: number;
}

export async function measureUsage<T>(server: Administered, work: () => Promise<T>): Promise<{ usage: Usage; value: T }> {
  const postmaster = await findPostmaster(server);
  const walBefore = await walPosition(server);
  const serverBefore = serverCpuMs(postmaster);
  const statementsBefore = statements;
  const flushesBefore = flushes;
  const cpuBefore = process.cpuUsage();
  const value = await work();
  const cpu = process.cpuUsage(cpuBefore);
  const sent = { statements: statements - statementsBefore, flushes: flushes - flushesBefore };
  const serverAfter = serverCpuMs(postmaster);
  const walBytes = (await walPosition(server)) - walBefore;
  const usage = {
    cpuMs: (cpu.user + cpu.system) / 1_000,
    serverCpuMs: serverAfter === null || serverBefore === null ? null : serverAfter - serverBefore,
    ...sent,
    walBytes,
  };
  return { usage, value };
}

/**
 * Number of committed transactions in a database that nobody uses any more: a session reports all
 * of its own when it ends.
 */
export async function commitsOf(server: Administered, database: string): Promise<number> {
  const users = async (): Promise<number> => {
    const { rows } = await server.admin.query<{ n: number }>(
      `SELECT count(*)::int AS n FROM pg_stat_activity WHERE datname = $1 AND backend_type = 'client backend'`,
      [database],
    );
    return rows[0]!.n;
  };
  for (let tries = 0; tries < 100 && (await users()) > 0; tries++) await sleep(20);
  // Before PostgreSQL 15 the numbers came by way of another process.
  await sleep(50);
  const { rows } = await server.admin.query<{ n: string }>('SELECT xact_commit AS n FROM pg_stat_database WHERE datname = $1', [database]);
  return Number(rows[0]?.n ?? 0);
}

async function walPosition(server: Administered): Promise<number> {
  const { rows } = await server.admin.query<{ n: string }>(`SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0') AS n`);
  return Number(rows[0]!.n);
}

/** The server's first process, if it runs on this machine and can be seen. */
export async function findPostmaster(server: Administered): Promise<number | undefined> {
  const { rows } = await server.admin.query<{ pid: number; local: boolean }>(
    `SELECT pg_backend_pid() AS pid, coalesce(inet_server_addr() <<= '127.0.0.0/8' OR inet_server_addr() = '::1', true) AS local`,
  );
  const backend = rows[0]!.local ? readProcess(rows[0]!.pid) : undefined;
  const parent = backend?.name === 'postgres' ? readProcess(backend.parent) : undefined;
  return parent?.name === 'postgres' ? backend!.parent : undefined;
}

/** CPU time of a server's first process and of its children, also of those that have ended. */
export function serverCpuMs(postmaster: number | undefined): number | null {
  const main = postmaster === undefined ? undefined : readProcess(postmaster);
  if (!main) return null;
  let ticks = main.ticks + main.endedChildrensTicks;
  for (const entry of readdirSync('/proc')) {
    const child = /^\d+$/.test(entry) ? readProcess(Number(entry)) : undefined;
    if (child?.parent === postmaster) ticks += child!.ticks;
  }
  return ticks * MS_PER_TICK;
}

/** Linux counts in hundredths of a second here. */
const MS_PER_TICK = 10;

interface ProcessStat {
  readonly name: string;
  readonly parent: number;
  readonly ticks: number;
  readonly endedChildrensTicks: number;
}

function readProcess(pid: number): ProcessStat | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = text
      .slice(text.lastIndexOf(')') + 2)
      .split(' ')
      .map(Number);
    const name = text.slice(text.indexOf('(') + 1, text.lastIndexOf(')'));
    return { name, parent: fields[1]!, ticks: fields[11]! + fields[12]!, endedChildrensTicks: fields[13]! + fields[14]! };
  } catch {
    return undefined;
  }
}
