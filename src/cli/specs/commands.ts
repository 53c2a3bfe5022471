import type { CommandSpec } from './command-spec.js';
import { CONTROL_COMMANDS } from './control-commands.js';
import { DATABASE_COMMANDS } from './database-commands.js';
import { EVENT_COMMANDS } from './event-commands.js';
import { QUERY_COMMANDS } from './query-commands.js';
import { SCHEDULE_COMMANDS } from './schedule-commands.js';

/** All commands, in the order in which the help lists them. */
export const COMMANDS: readonly CommandSpec[] = [
  ...QUERY_COMMANDS,
  ...CONTROL_COMMANDS,
  ...SCHEDULE_COMMANDS,
  ...EVENT_COMMANDS,
  ...DATABASE_COMMANDS,
];
