import type { WorkflowClient } from '../client/client.js';
import type { DeclaredSchedule } from '../core/schedules/declared-schedule.js';
import type { ScheduleWork } from '../maintenance/schedule-service.js';
import type { Sweep } from '../maintenance/sweep.js';
import { workOnSchedules } from '../maintenance/schedule-service.js';
import type { FoundWorkflow } from './found-workflow.js';
import type { HostDependencies } from './host-dependencies.js';

/**
 * Milliseconds for which a declaration counts after the last process with it has been seen. A
 * process that QStash calls is seen only when it is called.
 */
const TTL_MS = 60_000;
const PUSHED_TTL_MS = 600_000;

/** Milliseconds between two declarations of a process that lives permanently. */
const DECLARE_EVERY_MS = 20_000;

/** Schedules that a process serves, and its work on them. */
export interface HostSchedules extends ScheduleWork {
  /** Keeps the schedules of this process declared. Undefined when its code declares none. */
  readonly declaring: Sweep | undefined;
}

/** Creates the work on schedules of a process that executes runs. */
export function createSchedules(
  runtime: HostDependencies & { readonly client: WorkflowClient },
  workflows: readonly FoundWorkflow[],
  declared: readonly DeclaredSchedule[],
  deploymentId: string,
): HostSchedules {
  const { client, settings } = runtime;
  const declarations = client.scheduleDeclarations(declared, {
    deploymentId,
    ttlMs: settings.transport === 'poll' ? TTL_MS : PUSHED_TTL_MS,
    conflict: (name) =>
      runtime.warn(
        'schedule-conflict',
        `schedules: "${name}" of @Schedule is not stored, because a client has created a schedule with this name: delete that one, or choose another name`,
        undefined,
        { schedule: name },
      ),
    undeclared: (names) => {
      for (const name of names)
        runtime.warn(
          'schedule-undeclared',
          `schedules: "${name}" is paused, because no process has its @Schedule any more: delete it with client.schedules.delete(), or restore the decorator`,
          undefined,
          { schedule: name },
        );
    },
  });
  const declaring: Sweep = {
    failure: 'schedules: could not store the schedules of this process',
    everyMs: DECLARE_EVERY_MS,
    run: async () => {
      await declarations.declare('refresh');
      return undefined;
    },
  };
  return {
    firing: client.scheduleFiring(),
    declarations,
    declaring: declared.length > 0 ? declaring : undefined,
    served: {
      workflows: [...new Set(workflows.flatMap(({ type, definition }) => (type ? [definition.name] : [])))],
      declared: declared.map(({ name }) => name),
    },
    failedToFire: (schedule, error) =>
      runtime.warn('schedule-failed', `schedules: could not start the run of "${schedule}"; trying again`, error, { schedule }),
  };
}

/**
 * Returns the sweep that works on schedules in a process that QStash calls.
 *
 * @param scheduled announces the next due time
 * @param now returns the current time of the database's clock
 */
export function schedulesSweep(
  schedules: HostSchedules,
  scheduled: (at: number) => void,
  now: () => number,
): Pick<Sweep, 'run' | 'failure'> {
  return {
    failure: 'sweep: could not start the runs of schedules',
    run: async (signal) => {
      await schedules.declaring?.run(signal);
      await workOnSchedules(schedules, () => !signal.aborted);
      const next = await schedules.firing.nextTime(schedules.served);
      if (next === undefined) return undefined;
      scheduled(next);
      return Math.max(0, next - now());
    },
  };
}
