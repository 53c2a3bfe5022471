import { WorkflowRunLogEntry } from './workflow-run-log-entry.entity.js';
import { WorkflowEvent } from './workflow-event.entity.js';
import { WorkflowEventReceipt } from './workflow-event-receipt.entity.js';
import { WorkflowEventSubscription } from './workflow-event-subscription.entity.js';
import { WorkflowHistoryEntry } from './workflow-history-entry.entity.js';
import { WorkflowHome } from './workflow-home.entity.js';
import { WorkflowHook } from './workflow-hook.entity.js';
import { WorkflowInboxMessage } from './workflow-inbox-message.entity.js';
import { WorkflowBulkOperation } from './workflow-bulk-operation.entity.js';
import { WorkflowOutboxEntry } from './workflow-outbox-entry.entity.js';
import { WorkflowQueue } from './workflow-queue.entity.js';
import { WorkflowQueueKey } from './workflow-queue-key.entity.js';
import { WorkflowStepPlace } from './workflow-step-place.entity.js';
import { WorkflowRetentionProgress } from './workflow-retention.entity.js';
import { WorkflowRun } from './workflow-run.entity.js';
import { WorkflowRunEvent } from './workflow-run-event.entity.js';
import { WorkflowSchedule } from './workflow-schedule.entity.js';
import { WorkflowSharedStart } from './workflow-shared-start.entity.js';
import { WorkflowStartRequest } from './workflow-start-request.entity.js';
import { WorkflowSession } from './workflow-session.entity.js';
import { WorkflowState } from './workflow-state.entity.js';
import { WorkflowStep } from './workflow-step.entity.js';
import { WorkflowStreamChunk } from './workflow-stream-chunk.entity.js';
import { WorkflowSubscription } from './workflow-subscription.entity.js';
import { WorkflowTag } from './workflow-tag.entity.js';
import { WorkflowWait } from './workflow-wait.entity.js';

export {
  WorkflowRunLogEntry,
  WorkflowEvent,
  WorkflowEventReceipt,
  WorkflowEventSubscription,
  WorkflowHistoryEntry,
  WorkflowHome,
  WorkflowHook,
  WorkflowInboxMessage,
  WorkflowBulkOperation,
  WorkflowOutboxEntry,
  WorkflowRetentionProgress,
  WorkflowQueue,
  WorkflowQueueKey,
  WorkflowStepPlace,
  WorkflowRun,
  WorkflowRunEvent,
  WorkflowSchedule,
  WorkflowSession,
  WorkflowState,
  WorkflowStep,
  WorkflowStreamChunk,
  WorkflowSharedStart,
  WorkflowStartRequest,
  WorkflowSubscription,
  WorkflowTag,
  WorkflowWait,
};

/**
 * Entities for all tables of the module and for its view. Applications need them for
 * `@InjectRepository` and for SQL that TypeORM generates.
 */
export const durableEntities = [
  WorkflowRun,
  WorkflowStep,
  WorkflowWait,
  WorkflowRunLogEntry,
  WorkflowInboxMessage,
  WorkflowSession,
  WorkflowTag,
  WorkflowHook,
  WorkflowState,
  WorkflowBulkOperation,
  WorkflowOutboxEntry,
  WorkflowHome,
  WorkflowSubscription,
  WorkflowRunEvent,
  WorkflowRetentionProgress,
  WorkflowStreamChunk,
  WorkflowSchedule,
  WorkflowSharedStart,
  WorkflowStartRequest,
  WorkflowEvent,
  WorkflowEventReceipt,
  WorkflowEventSubscription,
  WorkflowQueue,
  WorkflowQueueKey,
  WorkflowStepPlace,
  WorkflowHistoryEntry,
] as const;
