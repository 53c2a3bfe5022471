import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { currentStep } from 'nestjs-durable';

import type { Check } from './checks.js';
import type { ChaosDatabase } from './database.js';
import type { CallInput } from './shapes.js';
import { body, outside } from './workflows.js';

/**
 * Tables of bodies with limits. A session that ends leaves its time, because a body counts only
 * while its session has its run: after a takeover the place belongs to the new owner.
 */
export const SPANS = `CREATE TABLE spans (id text PRIMARY KEY, kind text, key text, run_id text, step_key text, pid int, session_id bigint, begun_ms float8,
  began timestamptz DEFAULT clock_timestamp(), ended timestamptz);
CREATE TABLE calls (run_id text, key text, n int);
CREATE TABLE thaws (pid int, at timestamptz);
CREATE TABLE ended_sessions (id bigint, at timestamptz)`;

/** Records when sessions end. Needs the tables of the module. */
export const WATCH_SESSIONS = `CREATE FUNCTION note_ended_session() RETURNS trigger LANGUAGE plpgsql AS $note$
BEGIN
  INSERT INTO public.ended_sessions VALUES (OLD.id, clock_timestamp());
  RETURN OLD;
END
$note$;
CREATE TRIGGER chaos_note_ended BEFORE DELETE ON durable.workflow_sessions FOR EACH ROW EXECUTE FUNCTION note_ended_session()`;

const BEGIN = `INSERT INTO spans (id, kind, key, run_id, step_key, pid, begun_ms, session_id) VALUES ($1, $2, $3, $4, $5, $6, $7,
  (SELECT s.id FROM durable.workflow_runs r JOIN durable.workflow_sessions s ON s.id = r.session_id WHERE r.id = $4 AND s.pid = $6))`;

/**
 * Executes a body that a limit counts. The recorded time is part of the time of the body: its
 * beginning is recorded after the place was given, and its end before the place is given back.
 */
export async function recorded(kind: string, key: string, ms: number): Promise<string> {
  const begunMs = performance.timeOrigin + performance.now();
  const { runId, stepKey } = currentStep();
  const id = randomUUID();
  await outside(BEGIN, [id, kind, key, runId, stepKey, process.pid, begunMs]);
  const nonce = await body(ms);
  await outside('UPDATE spans SET ended = clock_timestamp() WHERE id = $1', [id]);
  return nonce;
}

/** Executes the body of a run that several starts share, and records the input. */
export async function noteCall({ key, n }: CallInput): Promise<string> {
  await outside('INSERT INTO calls (run_id, key, n) VALUES ($1, $2, $3)', [currentStep().runId, key, n]);
  return body(10);
}

interface SpanRow {
  readonly kind: string;
  readonly key: string;
  readonly run_id: string;
  readonly pid: number;
  readonly begun_ms: number;
  readonly began: number;
  /** Infinity for a body whose process died and whose session has not ended. */
  readonly ended: number;
  readonly is_owned: boolean;
  /** True when the process had just been frozen, perhaps after the check of its slot. */
  readonly is_thawed: boolean;
}

/**
 * Milliseconds for which a process may have to wait for a processor between the check of its slot
 * and the body. One slot too many would make a window shorter by more than this: an interval is
 * twice as long.
 */
const DESCHEDULED_MS = 150;
/** Milliseconds around the end of a freeze in which a body may begin late. */
const THAWED_MS = 300;

const READ = `SELECT kind, key, run_id, pid, begun_ms, extract(epoch FROM began)::float8 * 1000 AS began, session_id IS NOT NULL AS is_owned,
  EXISTS (SELECT 1 FROM thaws t WHERE t.pid = spans.pid AND abs(extract(epoch FROM t.at) * 1000 - begun_ms) < ${THAWED_MS}) AS is_thawed,
  coalesce(extract(epoch FROM least(ended, (SELECT min(at) FROM ended_sessions e WHERE e.id = session_id)))::float8 * 1000, 'Infinity') AS ended
FROM spans`;

/** Limits that spans are checked against. */
export interface SpanLimits {
  readonly mostAtOnce: Readonly<Record<string, { readonly total: number; readonly ofKey?: number }>>;
  readonly rates: Readonly<Record<string, { readonly limit: number; readonly periodMs: number }>>;
  readonly ratedRuns: readonly string[];
}

/**
 * Checks that the recorded bodies kept their limits.
 *
 * - Places: a body counts from its beginning until it ended or its session ended. A body that
 *   began after its run had another owner does not count.
 * - Rates: each body counts, also one whose process died, but for one that began when its process
 *   had just been frozen. For rates of runs, the first body of a run counts.
 */
export async function checkSpans(
  database: ChaosDatabase,
  { mostAtOnce, rates, ratedRuns }: SpanLimits,
): Promise<{ readonly checks: readonly Check[]; readonly fact: string }> {
  const spans = await database.query<SpanRow>(READ);
  const checks: Check[] = [];
  const most: string[] = [];
  const facts: string[] = [];
  for (const [kind, { total, ofKey }] of Object.entries(mostAtOnce)) {
    const owned = spans.filter((span) => span.kind === kind && span.is_owned && span.ended > span.began);
    const problems = overlaps(owned, total);
    if (ofKey !== undefined) {
      for (const key of new Set(owned.map((span) => span.key)))
        problems.push(
          ...overlaps(
            owned.filter((span) => span.key === key),
            ofKey,
          ).map((problem) => `${key}: ${problem}`),
        );
    }
    most.push(`${mostOf(owned)[1]} ${kind}`);
    checks.push({
      name: `never more than ${total} of ${kind} at once${ofKey === undefined ? '' : `, and ${ofKey} of each key`}`,
      problems,
    });
  }
  for (const [kind, { limit, periodMs }] of Object.entries(rates)) {
    const begun = spans.filter((span) => span.kind === kind && !span.is_thawed);
    const times = ratedRuns.includes(kind) ? firstOfRuns(begun) : begun.map((span) => span.begun_ms);
    times.sort((a, b) => a - b);
    const windows = times.slice(limit).map((next, index) => ({ from: times[index]!, ms: next - times[index]! }));
    const problems = windows
      .filter(({ ms }) => ms < periodMs - DESCHEDULED_MS)
      .map(({ from, ms }) => `${limit + 1} began within ${ms.toFixed(2)} ms, from ${from.toFixed(2)} on`);
    const shortest = Math.min(...windows.map(({ ms }) => ms));
    facts.push(`${times.length} of ${kind}, ${limit + 1} within ${shortest.toFixed(1)} ms at least`);
    if (times.length === 0) problems.push('none began');
    checks.push({ name: `never more than ${limit} of ${kind} within ${periodMs} ms`, problems });
  }
  const total = spans.length;
  return { checks, fact: `${total} limited bodies; at most at once: ${most.join(', ')}; ${facts.join('; ')}` };
}

function firstOfRuns(spans: readonly SpanRow[]): number[] {
  const first = new Map<string, number>();
  for (const { run_id: id, begun_ms: at } of spans) first.set(id, Math.min(first.get(id) ?? Infinity, at));
  return [...first.values()];
}

function overlaps(spans: readonly SpanRow[], most: number): string[] {
  const [runs, count, at] = mostOf(spans);
  return count <= most ? [] : [`${count} at once at ${new Date(at).toISOString()}: ${runs}`];
}

/** Finds the largest number of runs at the same time. An end comes before a beginning. */
function mostOf(spans: readonly SpanRow[]): readonly [runs: string, count: number, at: number] {
  const moments = spans.flatMap((span) => [
    { at: span.began, by: 1, span },
    { at: span.ended, by: -1, span },
  ]);
  moments.sort((a, b) => a.at - b.at || a.by - b.by);
  const executing = new Map<string, number>();
  let most: readonly [string, number, number] = ['', 0, 0];
  for (const { at, by, span } of moments) {
    const count = (executing.get(span.run_id) ?? 0) + by;
    if (count === 0) executing.delete(span.run_id);
    else executing.set(span.run_id, count);
    if (executing.size > most[1]) most = [[...executing.keys()].join(', '), executing.size, at];
  }
  return most;
}

/** Places that runs and steps have now, beyond what their limits allow. */
const OVERFULL = `SELECT 'queue' AS kind, queue AS name, CASE WHEN grouping(queue_key) = 1 THEN NULL ELSE queue_key END AS key, count(*)::int AS used
FROM durable.workflow_runs WHERE place IN ('admitted', 'kept') GROUP BY GROUPING SETS ((queue), (queue, queue_key))
UNION ALL
SELECT 'step', name, CASE WHEN grouping(key) = 1 THEN NULL ELSE key END, count(*)::int FROM durable.workflow_step_places p
WHERE EXISTS (SELECT 1 FROM durable.workflow_sessions s WHERE s.id = p.session_id) GROUP BY GROUPING SETS ((name), (name, key))`;

interface Used {
  readonly name: string;
  readonly key: string | null;
  readonly used: number;
}

/** Looks at the places in the database again and again, while the chaos lasts. */
export class PlaceWatch {
  readonly problems: string[] = [];
  private isOver = false;
  private readonly watching: Promise<void>;

  constructor(
    private readonly database: ChaosDatabase,
    private readonly limits: SpanLimits['mostAtOnce'],
  ) {
    this.watching = this.watch();
  }

  async stop(): Promise<void> {
    this.isOver = true;
    await this.watching;
  }

  private async watch(): Promise<void> {
    for (; !this.isOver; await sleep(100)) {
      for (const { name, key, used } of await this.database.query<Used>(OVERFULL)) {
        const limit = this.limits[name];
        const most = key === null ? limit?.total : key === '' ? undefined : limit?.ofKey;
        if (most !== undefined && used > most) this.problems.push(`${name} ${key ?? ''}: ${used} places instead of ${most}`);
      }
    }
  }
}

/** Rows that must be gone when everything has ended. */
export const PLACES_LEFT: Readonly<Record<string, string>> = {
  'no place of a queue is left': `SELECT id || ' ' || place AS text FROM durable.workflow_runs WHERE place IN ('admitted', 'kept', 'queued')`,
  'no place of a step is left': `SELECT name || ' ' || key || ' of ' || run_id AS text FROM durable.workflow_step_places p
    WHERE EXISTS (SELECT 1 FROM durable.workflow_sessions s WHERE s.id = p.session_id)`,
  'no start waits for its decision': `SELECT kind || ' ' || run_id AS text FROM durable.workflow_start_requests`,
  'no member waits for its batch': `SELECT id AS text FROM durable.workflow_runs WHERE batch_place IS NOT NULL`,
};
