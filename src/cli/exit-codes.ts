/** Exit codes of the command. docs/cli.md documents them; they stay the same in later versions. */
export const EXIT = {
  ok: 0,
  /** The command failed, or `doctor` has found an error. */
  failed: 1,
  /** An argument or an option is missing, unknown or invalid. Nothing was done. */
  usage: 2,
  /** No run has the given id, or no schedule the given name. */
  notFound: 3,
  /** The status of the run, or the origin of the schedule, does not allow the command. */
  notAllowed: 4,
  /** The user did not confirm, or nobody could be asked and `--yes` was missing. */
  notConfirmed: 5,
  /** The database cannot be reached or does not answer. */
  unavailable: 6,
  /** Ctrl-C ended a command that had not completed. */
  interrupted: 130,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];
