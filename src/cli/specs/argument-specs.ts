/** An option of a command. */
export interface OptionSpec {
  /** Name of the option's value in the help. Absent for a flag, which takes no value. */
  readonly value?: string;
  /** True when the option may be given several times. */
  readonly isRepeatable?: true;
  readonly short?: string;
  readonly help: string;
}

/** An argument of a command that is not an option. */
export interface ArgumentSpec {
  readonly name: string;
  readonly isRequired: boolean;
}
