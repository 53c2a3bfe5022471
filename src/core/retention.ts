import { checkOptions } from './check-options.js';
import { toMilliseconds, type ConfiguredDuration, type Duration, type ShortestDuration } from './duration.js';

/**
 * Shortest retention. A worker that lost its run may still be writing for a moment after the run
 * has ended.
 */
const SHORTEST_RETENTION: ShortestDuration = { ms: 60_000, inWords: '1 minute' };

/**
 * Time after which ended runs are deleted, by the status with which they ended: milliseconds, or a
 * duration such as `'30d'`, from 1 minute to a hundred years.
 */
export interface RetentionOptions<Time extends ConfiguredDuration = Duration> {
  /** Time after which completed runs are deleted. (default: they are kept) */
  completed?: Time;
  /** Time after which failed runs are deleted. (default: they are kept) */
  failed?: Time;
  /** Time after which cancelled runs are deleted. (default: they are kept) */
  cancelled?: Time;
}

/**
 * Milliseconds after which ended runs are deleted, by status. A missing status is kept. With `keep`
 * the rule has no status, and a run also stays when its parent is deleted.
 */
export type RetentionRule = Readonly<Partial<Record<keyof RetentionOptions, number>> & { keep?: true }>;

/** Statuses that a retention may name. */
const RETENTION_STATUSES = ['completed', 'failed', 'cancelled'] as const;

const KEEP: RetentionRule = { keep: true };

/** Retention of the runs of one version of a workflow. */
export interface WorkflowRetention {
  readonly name: string;
  readonly version: number;
  /**
   * Rule of the workflow's class. `'keep'` keeps all its runs. Undefined when the class has no rule
   * of its own.
   */
  readonly own: RetentionRule | 'keep' | undefined;
}

/** Retention of a module, as its options and the classes of its workflows give it. */
export interface RetentionConfiguration {
  /** Rule of workflows without a rule of their own. */
  readonly general: RetentionRule;
  readonly workflows: readonly WorkflowRetention[];
}

/** Rules by which a process judges runs. */
export interface RetentionRules {
  /**
   * Rules of workflows, by `retentionKey`, and of their other versions, by `versionsKey`. They
   * replace `others`.
   */
  readonly workflows: Readonly<Record<string, RetentionRule>>;
  /** Rule of all other workflows. */
  readonly others: RetentionRule;
}

/**
 * Checks a retention.
 *
 * @throws InvalidInputError naming the status whose time is invalid
 */
export function checkRetention(value: unknown, argument: string): RetentionRule {
  const given = checkOptions(value as RetentionOptions, argument, RETENTION_STATUSES);
  const rule: Partial<Record<keyof RetentionOptions, number>> = {};
  for (const status of RETENTION_STATUSES) {
    const time = given[status];
    if (time === undefined) continue;
    rule[status] = toMilliseconds(time, `${argument}.${status}`, SHORTEST_RETENTION);
  }
  return rule;
}

/** Key of a workflow's version in `RetentionRules.workflows`. SQL builds the same key. */
function retentionKey({ name, version }: Pick<WorkflowRetention, 'name' | 'version'>): string {
  return `${name}\n${version}`;
}

/**
 * Key in `RetentionRules.workflows` for the versions of a workflow that have no rule. SQL builds
 * the same key.
 *
 * @param key key of any version of the workflow
 */
function versionsKey(key: string): string {
  return key.slice(0, key.lastIndexOf('\n') + 1);
}

/** Rules that classes have of their own, by `retentionKey`. */
export function ownRules({ general, workflows }: RetentionConfiguration): Record<string, RetentionRule> {
  return Object.fromEntries(
    workflows.flatMap(({ own, ...workflow }) =>
      own === undefined ? [] : [[retentionKey(workflow), own === 'keep' ? KEEP : { ...general, ...own }] as const],
    ),
  );
}

/**
 * Combines the rules that a process knows with those that other processes have recorded for their
 * workflows. A process must not delete runs that another process keeps. So for a workflow that this
 * process does not have, the longer of the general rule and the recorded rule counts. For a version
 * with neither a class nor a recorded rule, the longest of the general rule and the rules of the
 * other versions counts.
 */
export function combineRules(configuration: RetentionConfiguration, recorded: Readonly<Record<string, RetentionRule>>): RetentionRules {
  const { general, workflows } = configuration;
  const own = ownRules(configuration);
  const known = Object.fromEntries(workflows.map((workflow) => [retentionKey(workflow), general]));
  const foreign = Object.fromEntries(Object.entries(recorded).map(([key, rule]) => [key, longer(general, rule)]));
  const versions: Record<string, RetentionRule> = {};
  for (const [key, rule] of Object.entries({ ...foreign, ...own })) {
    versions[versionsKey(key)] = longer(versions[versionsKey(key)] ?? general, rule);
  }
  return { workflows: { ...versions, ...foreign, ...known, ...own }, others: general };
}

function longer(one: RetentionRule, other: RetentionRule): RetentionRule {
  if (one.keep || other.keep) return KEEP;
  const both = RETENTION_STATUSES.flatMap((status) => {
    const times = [one[status], other[status]];
    return times.includes(undefined) ? [] : [[status, Math.max(...(times as number[]))] as const];
  });
  return Object.fromEntries(both);
}

/** Returns the shortest time of all rules in milliseconds. Undefined when they keep all runs. */
export function shortestRetention({ workflows, others }: RetentionRules): number | undefined {
  const rules = [others, ...Object.values(workflows)];
  const times = rules.flatMap((rule) => RETENTION_STATUSES.flatMap((status) => rule[status] ?? []));
  return times.length === 0 ? undefined : Math.min(...times);
}

/** True when a process deletes runs, by the rules that it has itself. */
export function deletesRuns(configuration: RetentionConfiguration): boolean {
  return shortestRetention(combineRules(configuration, {})) !== undefined;
}

/**
 * True when the module or a class has a retention. A class may only keep its runs: other processes
 * must know of this rule.
 */
export function isRetentionUsed(configuration: RetentionConfiguration): boolean {
  return deletesRuns(configuration) || Object.keys(ownRules(configuration)).length > 0;
}
