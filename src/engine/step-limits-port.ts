/** Permission to begin one attempt of a step that has a limit. */
export interface StepPermit {
  /** False once the slot of the rate limit has passed: the attempt needs a new permit. */
  isValid(): boolean;
  /** Gives the place to another step. */
  release(): void;
}

/** Step that waits for a permit. */
export interface LimitedStep {
  readonly runId: string;
  readonly stepKey: string;
  readonly queueKey: string;
  /** True while the step still waits. A step that no longer waits takes no place and no slot. */
  isWaiting(): boolean;
  /** Called once, at the time at which the attempt may begin. */
  permitted(permit: StepPermit): void;
}

/** Limits that steps name. */
export interface StepLimits {
  /** Requests a permit. Returns `unknown` when there is no limit with this name. */
  request(name: string, step: LimitedStep): Promise<'requested' | 'unknown'>;
}
