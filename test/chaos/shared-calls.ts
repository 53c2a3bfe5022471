import { setTimeout as sleep } from 'node:timers/promises';

import type { StartOptions } from 'nestjs-durable';

import { SeededNumbers } from '../support/faults/seeded-numbers.js';
import { grouped, type Check } from './checks.js';
import type { ChaosDatabase } from './database.js';
import type { Driver } from './driver.js';
import type { CallInput } from './shapes.js';

/** Runs that are planned for each group of starts that share a run. */
const RUNS_PER_GROUP = 12;
const DEBOUNCE_MS = 500;
const THROTTLE_MS = 900;

/** Starts with one key, one after the other; the members of a batch are started together. */
interface Group {
  readonly kind: 'debounced' | 'throttled' | 'batched';
  readonly key: string;
  readonly atMs: number;
  readonly calls: readonly { readonly gapMs: number; readonly by: 'client' | 'worker' | 'commit' | 'rollback'; readonly worker: number }[];
  readonly hasMaxWait: boolean;
}

function planGroups(seed: number, { runs, workers, totalMs }: { runs: number; workers: number; totalMs: number }): Group[] {
  const random = new SeededNumbers(seed + 1_000_003);
  return Array.from({ length: Math.max(3, Math.round(runs / RUNS_PER_GROUP)) }, (_, n): Group => {
    const kind = n < 3 ? (['debounced', 'throttled', 'batched'] as const)[n]! : random.oneOf({ debounced: 4, throttled: 3, batched: 4 });
    const by = { client: 4, worker: 3, commit: 2, rollback: 1 };
    return {
      kind,
      key: `${kind} ${n}`,
      atMs: random.below(Math.round(totalMs * 0.8)),
      calls: Array.from({ length: random.between(2, 9) }, () => ({
        gapMs: random.between(0, 400),
        by: kind === 'batched' ? 'worker' : random.oneOf(by),
        worker: random.below(workers),
      })),
      hasMaxWait: random.below(2) === 0,
    };
  });
}

/** A start that was answered: the run that counts for it. */
interface Answer extends CallInput {
  readonly runId: string;
}

interface SharedRun {
  readonly id: string;
  readonly name: string;
  readonly status: string;
  readonly key: string | null;
  readonly n: number | null;
  readonly output: string | null;
  readonly continued_as: string | null;
  readonly batch_id: string | null;
  readonly created: number;
}

/** Makes starts with `debounce`, `throttle` and batches, and checks what became of them. */
export class SharedCalls {
  private readonly groups: readonly Group[];
  private readonly answers: Answer[] = [];

  constructor(
    private readonly driver: Driver,
    private readonly database: ChaosDatabase,
    settings: { readonly seed: number; readonly runs: number; readonly workers: number; readonly seconds: number },
  ) {
    this.groups = planGroups(settings.seed, { ...settings, totalMs: settings.seconds * 1_000 });
  }

  /** Resolves when all starts were answered. */
  async happen(at: (ms: number, work: () => Promise<unknown>) => Promise<void>): Promise<void> {
    await Promise.all(
      this.groups.map((group) => at(group.atMs, () => (group.kind === 'batched' ? this.together(group) : this.inTurn(group)))),
    );
  }

  async check(): Promise<Check[]> {
    const runs = await this.database.query<SharedRun>(
      `SELECT id, name, status, input ->> 'key' AS key, (input ->> 'n')::int AS n, output::text, continued_as, batch_id,
        extract(epoch FROM created_at)::float8 * 1000 AS created
      FROM durable.workflow_runs WHERE name IN ('debounced', 'throttled') OR batch_id IS NOT NULL`,
    );
    const bodies = await this.database.query<{ run_id: string; key: string; n: number }>('SELECT run_id, key, n FROM calls');
    const works = await this.database.query<{ run_id: string; output: string }>(
      `SELECT s.run_id, s.output #>> '{}' AS output FROM durable.workflow_steps s JOIN durable.workflow_runs r ON r.id = s.run_id WHERE r.name = 'batched'`,
    );
    const byId = new Map(runs.map((run) => [run.id, run]));
    return [
      { name: 'a debounced run has the last input of its calls, and the last call is executed last', problems: [...this.debounced(byId)] },
      { name: 'at most one throttled run in a period', problems: [...this.throttled(runs)] },
      { name: 'each member of a batch has exactly one result, of its own batch', problems: [...this.batched(byId, works)] },
      {
        name: 'a run that several starts share is executed with its input alone',
        problems: bodies.flatMap(({ run_id: id, key, n }) => {
          const run = byId.get(id);
          return run?.key === key && run.n === n && run.status === 'completed'
            ? []
            : [`${id} of ${key} executed ${n} instead of ${run?.n}`];
        }),
      },
      { name: 'starts that share a run were used', problems: this.answers.length > 0 && works.length > 0 ? [] : ['not at all'] },
    ];
  }

  get count(): number {
    return this.answers.length;
  }

  private async inTurn(group: Group): Promise<void> {
    const { kind, key } = group;
    for (const [n, { gapMs, by, worker }] of group.calls.entries()) {
      await sleep(gapMs);
      const options: StartOptions =
        kind === 'throttled'
          ? { throttle: { key, period: THROTTLE_MS } }
          : { debounce: { key, period: DEBOUNCE_MS, ...(group.hasMaxWait ? { maxWait: 3 * DEBOUNCE_MS } : {}) } };
      const runId = await this.driver.startShared({ name: kind, input: { key, n }, by, worker, options });
      if (runId !== undefined) this.answers.push({ key, n, runId });
      // A start of a transaction is decided after the commit, and the next call must come later.
      if (by === 'commit') await this.driver.decided(runId);
    }
  }

  private async together({ key, calls }: Group): Promise<void> {
    await Promise.all(
      calls.map(async ({ by, worker }, n) => {
        const id = `${key}/${n}`;
        const runId = await this.driver.startShared({ name: 'batched', input: { key, n }, by, worker, options: { id } });
        if (runId !== undefined) this.answers.push({ key, n, runId });
      }),
    );
  }

  private *debounced(byId: ReadonlyMap<string, SharedRun>): Generator<string> {
    const answers = this.answers.map((answer) => ({ ...answer, run: countingRun(byId, answer.runId) }));
    for (const { key, calls } of this.groups.filter(({ kind }) => kind === 'debounced')) {
      const own = answers.filter((answer) => answer.key === key);
      for (const [id, same] of grouped(own, ({ run }) => run?.id ?? 'no run')) {
        const run = byId.get(id);
        const last = Math.max(...same.map(({ n }) => n));
        // A start that was repeated after a lost answer may have changed an earlier run too.
        const isRight =
          run?.status === 'completed' && run.n! >= last && !own.some(({ n, run: other }) => n > last && n < run.n! && other?.id !== id);
        if (!isRight) yield `${id} of ${key}: input ${run?.n} and status ${run?.status} instead of ${last}`;
      }
      const effective = calls.findLastIndex(({ by }) => by !== 'rollback');
      const latest = [...byId.values()].filter((run) => run.key === key && run.name === 'debounced' && run.continued_as === null);
      if (effective >= 0 && !latest.some((run) => run.n === effective && run.status === 'completed'))
        yield `${key}: no run has the last input ${effective}, but ${latest.map(({ n }) => n).join(', ')}`;
    }
  }

  private *throttled(runs: readonly SharedRun[]): Generator<string> {
    const counting = runs.filter(({ name, continued_as: next }) => name === 'throttled' && next === null);
    for (const [key, same] of grouped(counting, (run) => run.key ?? '')) {
      const times = same.map(({ created }) => created).sort((a, b) => a - b);
      for (const [index, at] of times.entries())
        if (index > 0 && at - times[index - 1]! < THROTTLE_MS - 1) yield `${key}: two runs within ${at - times[index - 1]!} ms`;
    }
  }

  private *batched(byId: ReadonlyMap<string, SharedRun>, works: readonly { run_id: string; output: string }[]): Generator<string> {
    for (const { key, n, runId } of this.answers) {
      if (!key.startsWith('batched')) continue;
      const run = byId.get(runId);
      const work = works.find(({ run_id: id }) => id === run?.batch_id);
      const wanted = JSON.stringify(`${key} ${n} ${work?.output}`);
      if (run?.status !== 'completed' || run.output !== wanted) yield `${runId} is ${run?.status} with ${run?.output} instead of ${wanted}`;
    }
  }
}

function countingRun(byId: ReadonlyMap<string, SharedRun>, id: string): SharedRun | undefined {
  let run = byId.get(id);
  while (run?.continued_as) run = byId.get(run.continued_as);
  return run;
}
