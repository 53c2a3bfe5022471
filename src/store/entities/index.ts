import { WorkflowEvent } from './workflow-event.entity.js';
import { WorkflowHook } from './workflow-hook.entity.js';
import { WorkflowInboxMessage } from './workflow-inbox-message.entity.js';
import { WorkflowRun } from './workflow-run.entity.js';
import { WorkflowSession } from './workflow-session.entity.js';
import { WorkflowStep } from './workflow-step.entity.js';
import { WorkflowTag } from './workflow-tag.entity.js';
import { WorkflowWait } from './workflow-wait.entity.js';

export { WorkflowEvent, WorkflowHook, WorkflowInboxMessage, WorkflowRun, WorkflowSession, WorkflowStep, WorkflowTag, WorkflowWait };

/** Every table of the module, for `@InjectRepository` and for SQL that TypeORM writes. */
export const durableEntities = [
  WorkflowRun,
  WorkflowStep,
  WorkflowWait,
  WorkflowEvent,
  WorkflowInboxMessage,
  WorkflowHook,
  WorkflowSession,
  WorkflowTag,
] as const;
