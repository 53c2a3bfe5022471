import { checkOptions } from '../../core/check-options.js';
import { WorkflowConfigurationError } from '../../core/errors/index.js';
import { POLICY_KEYS, TIMING_KEYS } from '../../core/schedules/check-timing.js';
import type { SchedulePolicies, ScheduleTiming } from '../../core/schedules/schedule-types.js';
import type { InputOf, WorkflowClass } from '../../core/workflow-types.js';

/** Options of `@Schedule`. */
export interface ScheduleDecoratorOptions extends ScheduleTiming, SchedulePolicies {
  /**
   * Name of the schedule, of at most 200 characters. Keep it when you change the schedule.
   * (default: the name of the workflow)
   */
  name?: string;
  /** Input of the runs. (default: none) */
  input?: unknown;
  /** Tags of the runs. (default: none) */
  tags?: Record<string, string>;
}

const SCHEDULES = Symbol.for('nestjs-durable.schedules');

/** Removes `readonly`, which the inference of literal types adds to the input. */
type Mutable<T> = T extends (...args: never[]) => unknown ? T : { -readonly [Key in keyof T]: Mutable<T[Key]> };

/**
 * Resolves to `unknown` when the workflow accepts the input of the schedule. Otherwise resolves to
 * a text that the compiler shows as the error.
 */
type ScheduledInputFits<Input, Options> = Options extends { input: infer Given }
  ? unknown extends Given
    ? unknown
    : Mutable<Given> extends Input
      ? unknown
      : 'the workflow does not accept the input of the schedule'
  : unknown;

/**
 * Starts runs of a workflow at given times. The schedule is stored when a process with a worker
 * boots, and a change of the decorator changes it. A schedule whose decorator has been removed is
 * paused. A class may have several of these decorators, with different names.
 *
 * @param options times of the schedule, input of its runs, and rules for overlaps and outages
 * @throws WorkflowConfigurationError when the decorator is not on a class
 * @throws InvalidInputError naming an option that is invalid: at once for an unknown option,
 *   otherwise while the application boots
 * @example
 * @Schedule({ cron: '0 8 * * 1-5', timezone: 'Europe/Berlin' })
 * @Workflow({ name: 'report' })
 * export class ReportWorkflow { ... }
 */
export function Schedule<const Options extends ScheduleDecoratorOptions>(
  options: Options,
): <C extends WorkflowClass>(target: C & ScheduledInputFits<InputOf<C>, Options>) => void {
  return (target: Function) => {
    if (typeof target !== 'function') throw new WorkflowConfigurationError('@Schedule(): only classes with @Workflow can have schedules');
    const given = checkOptions(options, `@Schedule() on ${target.name}: options`, [
      ...TIMING_KEYS,
      ...POLICY_KEYS,
      'name',
      'input',
      'tags',
    ]);
    Object.defineProperty(target, SCHEDULES, { value: [...schedulesOf(target), given], configurable: true });
  };
}

/** Returns the schedules of the class itself. A class does not inherit schedules. */
export function schedulesOf(target: Function): readonly ScheduleDecoratorOptions[] {
  return Object.hasOwn(target, SCHEDULES) ? (target as unknown as Record<symbol, readonly ScheduleDecoratorOptions[]>)[SCHEDULES]! : [];
}
