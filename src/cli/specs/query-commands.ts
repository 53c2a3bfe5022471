import type { CommandSpec } from './command-spec.js';
import { EXACT_OPTION, FILTER_OPTIONS, KIND_OPTIONS, OPTIONAL_RUN, RUN } from './shared-options.js';

/** Commands that change nothing. */
export const QUERY_COMMANDS: readonly CommandSpec[] = [
  {
    name: 'runs',
    arguments: [],
    summary: 'list runs, newest first',
    details: ['Lists the runs that meet all conditions. An option that is given several times matches any of its values.'],
    options: {
      ...FILTER_OPTIONS,
      limit: { value: 'N', help: 'runs per page, from 1 to 1,000 (default: 50)' },
      cursor: { value: 'CURSOR', help: 'the next page: the cursor that the previous page has printed, with the same filter' },
      count: { help: 'print only the number of runs' },
    },
    examples: [
      'runs',
      'runs --name order --status failed --finished-after 1h',
      'runs --tag customer=7 --limit 10 --json',
      'runs --status waiting --count',
    ],
    load: async () => (await import('../commands/runs.js')).runs,
  },
  {
    name: 'show',
    arguments: RUN,
    summary: 'show a run: its timeline, what it waits for, its children and its error',
    details: [
      'The timeline has the steps with their durations and attempts, the waits, messages, and what operators did.',
      'Inputs, outputs and state are shown only with --payloads. With a payload codec, the command cannot read them.',
    ],
    options: {
      ...EXACT_OPTION,
      payloads: { help: 'show the input, the output and the state too' },
      limit: { value: 'N', help: 'entries of the timeline, from 1 to 100,000 (default: 1000)' },
    },
    examples: ['show order-7', 'show order-8 --payloads', 'show order-8 --json'],
    load: async () => (await import('../commands/show.js')).show,
  },
  {
    name: 'tail',
    arguments: OPTIONAL_RUN,
    summary: 'follow runs that start and end, or the timeline of one run',
    details: [
      'Without RUN, shows runs that start, end, pause or block, until Ctrl-C: all runs that fail, and runs that were created since --since.',
      'With RUN, shows the entries of its timeline, and ends when the run has ended.',
      'With --json, prints one JSON document per line.',
    ],
    options: {
      ...KIND_OPTIONS,
      since: { value: 'TIME', help: 'without RUN: follow runs created since that time (default: 1h, an hour ago)' },
    },
    examples: ['tail order-8', 'tail --name order --json'],
    load: async () => (await import('../commands/tail.js')).tail,
  },
  {
    name: 'failures',
    arguments: [],
    summary: 'count failed runs by workflow, version, error code, failed step or hour',
    details: ['The largest group comes first, with the id of one of its runs.'],
    options: {
      since: { value: 'TIME', help: 'runs that failed since that time (default: 24h, a day ago)' },
      by: { value: 'LIST', help: 'any of workflow, version, errorCode, failedStep, hour (default: workflow,errorCode,failedStep)' },
      limit: { value: 'N', help: 'groups, from 1 to 1,000 (default: 50)' },
    },
    examples: ['failures', 'failures --since 1h --by errorCode,failedStep', 'failures --by version,hour', 'failures --json'],
    load: async () => (await import('../commands/failures.js')).failures,
  },
  {
    name: 'workers',
    arguments: [],
    summary: 'list the processes that execute runs, and what they serve',
    details: ['Each process has a session. The list shows how many runs it owns, and which workflows it claims from which queues.'],
    options: {},
    examples: ['workers', 'workers --json'],
    load: async () => (await import('../commands/workers.js')).workers,
  },
  {
    name: 'export',
    arguments: RUN,
    summary: 'write the history of a run as JSON, for a replay against other code',
    details: [
      'The history has every payload of the run and the tokens of its hooks: keep it as safe as the database.',
      'docs/cli.md describes the format.',
    ],
    options: {
      ...EXACT_OPTION,
      output: { value: 'FILE', short: 'o', help: 'write to a new file that only its owner can read (default: stdout)' },
    },
    examples: ['export order-8', 'export order-8 --output order-8.json'],
    load: async () => (await import('../commands/export.js')).exportRun,
  },
];
