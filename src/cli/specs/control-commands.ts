import type { CommandSpec } from './command-spec.js';
import { AUDIT_OPTIONS, BULK_OPTIONS, EXACT_OPTION, OPTIONAL_RUN, RUN } from './shared-options.js';

const BULK = 'With a filter instead of RUN, changes all runs that match. First counts them and asks. The workers do the work.';

/** Commands that change runs. */
export const CONTROL_COMMANDS: readonly CommandSpec[] = [
  {
    name: 'signal',
    arguments: [...RUN, { name: 'NAME', isRequired: true }, { name: 'PAYLOAD', isRequired: false }],
    summary: 'send a signal to a run',
    details: [
      'PAYLOAD is JSON; - reads it from stdin. Schemas of signals are part of the application, so the payload is not checked.',
      'With an idempotency key, the run receives the signal only once, however often the command is repeated.',
    ],
    options: { 'idempotency-key': { value: 'KEY', help: 'makes it safe to send the signal again' } },
    examples: [`signal order-7 approved '{"by":"ann"}'`, 'signal order-7 nudged --idempotency-key nudge-1'],
    load: async () => (await import('../commands/signal.js')).signal,
  },
  {
    name: 'cancel',
    arguments: OPTIONAL_RUN,
    summary: 'ask a run, or all runs of a filter, to stop',
    details: [
      'The run can clean up before it ends as cancelled. A run that nobody executes is cancelled once a process can execute it.',
      BULK,
    ],
    options: { ...BULK_OPTIONS, ...AUDIT_OPTIONS },
    examples: [
      'cancel order-7 --reason "ordered twice"',
      'cancel --name order --status waiting --dry-run',
      'cancel --name order --tag customer=7 --yes',
    ],
    load: async () => (await import('../commands/cancel.js')).cancel,
  },
  {
    name: 'terminate',
    arguments: OPTIONAL_RUN,
    summary: 'end a run, or all runs of a filter, without executing their code',
    details: ['No finally block and no compensation is executed. For runs that hang, are blocked, or that no process can execute.', BULK],
    options: { ...BULK_OPTIONS, ...AUDIT_OPTIONS },
    examples: [
      'terminate order-7 --dry-run',
      'terminate order-7 --yes --reason "version 1 is gone"',
      'terminate --name order --blocked --yes',
    ],
    load: async () => (await import('../commands/terminate.js')).terminate,
  },
  {
    name: 'pause',
    arguments: RUN,
    summary: 'pause a run until it is resumed',
    details: ['No new step starts. Step bodies that are executing finish, and their results are recorded.'],
    options: AUDIT_OPTIONS,
    examples: ['pause order-7 --reason "the bank is closed"'],
    load: async () => (await import('../commands/pause.js')).pause,
  },
  {
    name: 'queues',
    arguments: [{ name: 'NAME', isRequired: false }],
    summary: 'list queues with limits, or change the limits of one',
    details: [
      'Lists the limits in force with their origin, how many runs have a place, and how many wait for one.',
      'The limits that --limits stores hold for all processes within a second, until --declared returns to the options.',
    ],
    options: {
      limits: { value: 'JSON', help: 'replace the limits of the queue' },
      declared: { help: "return to the limits of the module's options" },
      pause: { help: 'admit no further run' },
      resume: { help: 'admit runs again' },
      clear: { help: 'cancel the runs that wait for a place' },
      key: { value: 'KEY', help: 'with --clear: only runs with this queue key' },
      yes: { short: 'y', help: 'with --clear: do cancel the runs' },
      ...AUDIT_OPTIONS,
    },
    examples: [
      'queues',
      `queues emails --limits '{"concurrency":5}'`,
      'queues emails --pause',
      'queues emails --clear --yes --reason "sent by hand"',
      'queues emails --resume',
    ],
    load: async () => (await import('../commands/queues.js')).queues,
  },
  {
    name: 'resume',
    arguments: RUN,
    summary: 'resume a paused run, or make a blocked run due again',
    details: ['A blocked run is tried again, also by deployments that have blocked it. Remove the cause first.'],
    options: AUDIT_OPTIONS,
    examples: ['resume order-9'],
    load: async () => (await import('../commands/pause.js')).resume,
  },
  {
    name: 'retry',
    arguments: OPTIONAL_RUN,
    summary: 'retry a failed run, or all failed runs of a filter, from the failed step',
    details: ['The step that failed and those recorded after it are removed and executed again.', BULK],
    options: {
      ...BULK_OPTIONS,
      ...AUDIT_OPTIONS,
      'from-step': { value: 'STEP', help: 'with RUN: another recorded step to start from (default: the failed step)' },
    },
    examples: ['retry order-8', 'retry order-8 --from-step reserve', 'retry --name order --error-code CARD_DECLINED --rate 20 --yes'],
    load: async () => (await import('../commands/retry.js')).retry,
  },
  {
    name: 'fork',
    arguments: RUN,
    summary: 'start a new run with the same workflow, input, queue and tags',
    details: ['The original run does not change. The id of the new run is printed.'],
    options: {
      ...EXACT_OPTION,
      ...AUDIT_OPTIONS,
      'from-step': { value: 'STEP', help: 'take over the steps recorded before this one (default: none)' },
    },
    examples: ['fork order-8', 'fork order-8 --from-step charge'],
    load: async () => (await import('../commands/fork.js')).fork,
  },
  {
    name: 'delete',
    arguments: OPTIONAL_RUN,
    summary: 'delete an ended run, or all ended runs of a filter, with their chains and children',
    details: [
      'Deletes the run, the other runs of its chain, and its ended children. Its id is free afterwards. Nothing brings the run back.',
      BULK,
    ],
    options: { ...BULK_OPTIONS, ...AUDIT_OPTIONS },
    examples: ['delete order-8 --dry-run', 'delete order-8 --yes --reason "test order"', 'delete --tag customer=7 --status failed --yes'],
    load: async () => (await import('../commands/delete.js')).deleteRun,
  },
];
