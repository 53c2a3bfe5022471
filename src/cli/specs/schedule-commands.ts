import type { CommandSpec } from './command-spec.js';

/** The command for schedules, whose first argument says what it does. */
export const SCHEDULE_COMMANDS: readonly CommandSpec[] = [
  {
    name: 'schedules',
    arguments: [
      { name: 'ACTION', isRequired: false },
      { name: 'NAME', isRequired: false },
    ],
    summary: 'list schedules, and show, pause, resume, trigger, backfill or delete one',
    details: [
      'Without ACTION, lists schedules by name. ACTION is show, pause, resume, trigger, backfill or delete, and NAME the name of a schedule.',
      'The workers start the runs of backfilled and triggered schedules, as they do with all runs.',
    ],
    options: {
      workflow: { value: 'NAME', help: 'list: schedules of this workflow' },
      after: { value: 'NAME', help: 'list: the next page, from the name of the last schedule of the page before' },
      limit: { value: 'N', help: 'list: schedules per page, from 1 to 1,000 (default: 100); show: runs, up to 100 (default: 10)' },
      until: { value: 'TIME', help: 'pause: the time at which the schedule resumes, such as 2026-12-24T08:00Z (default: never)' },
      reason: { value: 'TEXT', help: 'pause: why' },
      from: { value: 'TIME', help: 'backfill: beginning of the period, or 2d for two days ago' },
      to: { value: 'TIME', help: 'backfill: end of the period (default: now)' },
      yes: { short: 'y', help: 'backfill, delete: do not ask' },
    },
    examples: [
      'schedules',
      'schedules --workflow order --json',
      'schedules show acme-report',
      'schedules pause acme-report --until 2126-01-01T00:00Z --reason "the warehouse is closed"',
      'schedules resume acme-report',
      'schedules trigger acme-report',
      'schedules backfill acme-report --from 2d --yes',
      'schedules delete acme-report --yes',
    ],
    load: async () => (await import('../commands/schedules.js')).schedules,
  },
];
