import { WorkflowError } from './workflow-error.js';

/**
 * No schedule has this name. Check the name, and check whether another process has deleted the
 * schedule.
 *
 * @example
 * if (error instanceof ScheduleNotFoundError) throw new NotFoundException(error.scheduleName);
 */
export class ScheduleNotFoundError extends WorkflowError {
  static override readonly errorName: string = 'ScheduleNotFoundError';
  readonly code = 'SCHEDULE_NOT_FOUND';

  /** @param scheduleName name that was given */
  constructor(readonly scheduleName: string) {
    super(`There is no schedule "${scheduleName}"`);
  }
}

/**
 * A schedule already has this name. Nothing was written. Update that schedule, or choose another
 * name.
 *
 * @example
 * if (error instanceof ScheduleAlreadyExistsError) await client.schedules.update(name, { cron });
 */
export class ScheduleAlreadyExistsError extends WorkflowError {
  static override readonly errorName: string = 'ScheduleAlreadyExistsError';
  readonly code = 'SCHEDULE_ALREADY_EXISTS';

  /** @param scheduleName name of the existing schedule */
  constructor(readonly scheduleName: string) {
    super(`A schedule with the name "${scheduleName}" already exists: update it, or choose another name`);
  }
}

/**
 * The schedule comes from a `@Schedule` decorator, so a client cannot change or delete it. Change
 * the decorator, or pause the schedule. Once no process has the decorator, the schedule can be
 * deleted.
 *
 * @example
 * if (error instanceof ScheduleDeclaredError) throw new ConflictException(error.message);
 */
export class ScheduleDeclaredError extends WorkflowError {
  static override readonly errorName: string = 'ScheduleDeclaredError';
  readonly code = 'SCHEDULE_DECLARED';

  /** @param scheduleName name of the schedule */
  constructor(readonly scheduleName: string) {
    super(`Schedule "${scheduleName}" is declared by @Schedule: change the decorator, or pause the schedule`);
  }
}
