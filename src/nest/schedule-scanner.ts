import { checkScheduleName } from '../client/schedules/schedule-options.js';
import { checkTags } from '../client/start-options.js';
import { WorkflowConfigurationError } from '../core/errors/index.js';
import { checkPolicies, checkTiming } from '../core/schedules/check-timing.js';
import type { DeclaredSchedule } from '../core/schedules/declared-schedule.js';
import { workflowIdentityOf } from '../core/workflow-metadata.js';
import type { FoundWorkflow } from '../host/found-workflow.js';
import { schedulesOf } from './decorators/schedule.js';

/**
 * Finds the schedules that the workflows of a module declare.
 *
 * @param now current time, in milliseconds since the epoch
 * @throws InvalidInputError naming an option that is invalid
 * @throws WorkflowConfigurationError when two schedules have the same name
 */
export function findSchedules(workflows: readonly FoundWorkflow[], now: number): DeclaredSchedule[] {
  const found = new Map<string, { readonly type: Function; readonly schedule: DeclaredSchedule }>();
  for (const { type } of workflows) {
    if (!type) continue;
    for (const options of schedulesOf(type)) {
      const where = `@Schedule() on ${type.name}: options`;
      const identity = workflowIdentityOf(type);
      const name = checkScheduleName(options.name ?? identity.name, `${where}.name`);
      const other = found.get(name);
      if (other) throw new WorkflowConfigurationError(sameName(name, other.type, type));
      const schedule: DeclaredSchedule = {
        name,
        workflow: identity.name,
        timing: checkTiming(options, where, now),
        policies: checkPolicies(options, where),
        input: options.input,
        schema: identity.input,
        tags: checkTags(options.tags, `${where}.tags`),
      };
      found.set(name, { type, schedule });
    }
  }
  return [...found.values()].map(({ schedule }) => schedule);
}

function sameName(name: string, first: Function, second: Function): string {
  if (first === second) return `@Schedule() on ${first.name}: two schedules have the name "${name}": give one of them a name of its own`;
  return (
    `@Schedule() on ${first.name} and on ${second.name} both have the name "${name}": give one of them a name of its own, ` +
    'or keep the decorator only on the newest version of the workflow'
  );
}
