import type { ArgumentSpec, OptionSpec } from './argument-specs.js';

/** The argument with the id of a run. */
export const RUN: readonly ArgumentSpec[] = [{ name: 'RUN', isRequired: true }];

/** The argument with the id of a run, for commands that also take a filter. */
export const OPTIONAL_RUN: readonly ArgumentSpec[] = [{ name: 'RUN', isRequired: false }];

/** Options that select runs by what does not change during their life. */
export const KIND_OPTIONS = {
  name: { value: 'NAME', isRepeatable: true, help: 'workflow of the runs' },
  'workflow-version': { value: 'N', isRepeatable: true, help: 'version of the workflow' },
  queue: { value: 'QUEUE', isRepeatable: true, help: 'queue of the runs' },
  parent: { value: 'RUN', help: 'children of a run' },
  schedule: { value: 'NAME', help: 'runs of a schedule' },
  tag: { value: 'KEY=VALUE', isRepeatable: true, help: 'runs with this tag; with several, runs that have all of them' },
} as const satisfies Record<string, OptionSpec>;

/** Options that select runs, as the filter of `client.list` does. */
export const FILTER_OPTIONS = {
  ...KIND_OPTIONS,
  status: { value: 'STATUS', isRepeatable: true, help: 'pending, running, waiting, paused, completed, failed, cancelled or continued' },
  blocked: { help: 'runs that wait for a deployment whose code fits their history' },
  'error-code': { value: 'CODE', isRepeatable: true, help: 'failed runs by the code or the name of their error' },
  'failed-step': { value: 'STEP', isRepeatable: true, help: 'failed runs by the name of the failed step' },
  'created-after': { value: 'TIME', help: 'runs created at that time or later: 2026-03-01T12:00Z, or 2h for two hours ago' },
  'created-before': { value: 'TIME', help: 'runs created before that time' },
  'finished-after': { value: 'TIME', help: 'runs that ended at that time or later' },
  'finished-before': { value: 'TIME', help: 'runs that ended before that time' },
} as const satisfies Record<string, OptionSpec>;

/** Options that record who changed a run, and why. */
export const AUDIT_OPTIONS = {
  actor: { value: 'NAME', help: "who does this, for the run's history (default: the user of the operating system)" },
  reason: { value: 'TEXT', help: "why, for the run's history" },
} as const satisfies Record<string, OptionSpec>;

/** Options of commands that ask before they change runs. */
const CONFIRM_OPTIONS = {
  'dry-run': { help: 'only show what would be changed' },
  yes: { short: 'y', help: 'do not ask' },
} as const satisfies Record<string, OptionSpec>;

/** Options of commands that change all runs of a filter. */
export const BULK_OPTIONS = {
  ...FILTER_OPTIONS,
  ...CONFIRM_OPTIONS,
  rate: { value: 'N', help: 'with a filter: at most so many runs per second (default: no limit)' },
  detach: { help: 'with a filter: do not wait until the workers have changed all runs' },
} as const satisfies Record<string, OptionSpec>;

export const EXACT_OPTION = {
  exact: { help: 'the run with exactly this id, and not the run that continues it' },
} as const satisfies Record<string, OptionSpec>;
