import type { CommandSpec } from './command-spec.js';

/** The command for emitted events. */
export const EVENT_COMMANDS: readonly CommandSpec[] = [
  {
    name: 'events',
    arguments: [
      { name: 'ACTION', isRequired: false },
      { name: 'EVENT', isRequired: false },
      { name: 'ID', isRequired: false },
    ],
    summary: 'list emitted events, or dispatch one again',
    details: [
      'Without ACTION, lists stored events, newest first. Payloads are shown only with --payloads.',
      'ACTION is redeliver: it dispatches the event with this name and id again. Runs that the event has started, or that have received the event, are left out.',
    ],
    options: {
      event: { value: 'NAME', help: 'list: events with this name' },
      key: { value: 'KEY', help: 'list: events with this key; needs --event' },
      id: { value: 'ID', help: 'list: events with this id' },
      'emitted-after': { value: 'TIME', help: 'list: events emitted at that time or later, or 2h for two hours ago' },
      'emitted-before': { value: 'TIME', help: 'list: events emitted before that time' },
      limit: { value: 'N', help: 'list: events per page, from 1 to 1,000 (default: 50)' },
      cursor: { value: 'CURSOR', help: 'list: the next page: the cursor that the previous page has printed, with the same options' },
      payloads: { help: 'list: show the payloads too' },
    },
    examples: [
      'events',
      'events --event order.paid --key 7 --payloads',
      'events --emitted-after 2h --limit 10 --json',
      'events redeliver order.paid payment-7',
    ],
    load: async () => (await import('../commands/events.js')).events,
  },
];
