import { decodeData, decodeJson, withoutPayload } from '../codec.js';
import type { ResolveData, WorldEvent, WorldHook, WorldRun, WorldStep, WorldWait } from '../contract.js';
import type { Line } from '../line.js';

/** Time as milliseconds. PostgreSQL's text of a year after 9999 is not one that Date can read. */
const ms = (column: string): string => `(extract(epoch FROM ${column}) * 1000)::float8`;

type Time = number | null;
/**
 * Type, data and payload of an event that a row refers to. They are null for a row without such an
 * event, and where the caller does not want payloads.
 */
type Payload = [type: string | null | undefined, data: unknown, payload: string | null];

const payloadColumns = (event: string): string => `${event}.type, ${event}.data, ${event}.payload`;
export const NO_PAYLOAD = 'NULL::text, NULL::json, NULL::bytea';

/** Columns of a run, without payloads. */
export const RUN_COLUMNS = (r: string): string =>
  `${r}.run_id, ${r}.status, ${r}.deployment_id, ${r}.workflow_name, ${r}.spec_version, ${r}.execution_context, ${r}.attributes, ${r}.error_code, ` +
  `${ms(`${r}.created_at`)}, ${ms(`${r}.updated_at`)}, ${ms(`${r}.started_at`)}, ${ms(`${r}.completed_at`)}`;

export type RunRow = [
  runId: string,
  status: WorldRun['status'],
  deploymentId: string,
  workflowName: string,
  specVersion: number | null,
  executionContext: unknown,
  attributes: Record<string, string> | null,
  errorCode: string | null,
  createdAt: number,
  updatedAt: number,
  startedAt: Time,
  completedAt: Time,
  ...input: Payload,
  ...result: Payload,
];

/** Joins and columns of the payloads of a run. */
export function runPayloads(schema: string, r: string, resolve: ResolveData): { columns: string; joins: string } {
  if (resolve === 'none') {
    // An error is no payload: it stays.
    const error = `LEFT JOIN ${schema}.world_events result ON result.run_id = ${r}.run_id AND result.slot = CASE ${r}.status WHEN 'failed' THEN ${r}.ended_slot END`;
    return { columns: `${NO_PAYLOAD}, ${payloadColumns('result')}`, joins: error };
  }
  return {
    columns: `${payloadColumns('input')}, ${payloadColumns('result')}`,
    joins:
      `LEFT JOIN ${schema}.world_events input ON input.run_id = ${r}.run_id AND input.slot = 1 ` +
      `LEFT JOIN ${schema}.world_events result ON result.run_id = ${r}.run_id AND result.slot = ${r}.ended_slot`,
  };
}

function decoded([type, data, payload]: Payload): Record<string, unknown> | undefined {
  return type === null || type === undefined ? undefined : decodeData(type, data, payload);
}

const optional = <K extends string, T>(key: K, value: T | null | undefined): Partial<Record<K, T>> =>
  value === null || value === undefined ? {} : ({ [key]: value } as Record<K, T>);

const date = <K extends string>(key: K, value: Time): Partial<Record<K, Date>> => optional(key, value === null ? null : new Date(value));

export function runOf(row: RunRow, line: Line): WorldRun {
  const [runId, status, deploymentId, workflowName, specVersion, context, attributes, errorCode, created, updated, started, completed] =
    row;
  const input = decoded(row.slice(12, 15) as Payload);
  const result = decoded(row.slice(15, 18) as Payload);
  return {
    runId,
    status,
    deploymentId,
    workflowName,
    ...optional('specVersion', specVersion),
    ...optional('executionContext', decodeJson(context) as Record<string, unknown> | undefined),
    ...(line.hasAttributes ? { attributes: attributes ?? {}, ...optional('errorCode', errorCode) } : {}),
    ...optional('input', input?.['input']),
    ...(status === 'completed' && result ? { output: result['output'] } : {}),
    ...(status === 'failed' && result ? { error: line.errorOf(result) } : {}),
    createdAt: new Date(created),
    updatedAt: new Date(updated),
    ...date('startedAt', started),
    ...date('completedAt', completed),
  };
}

/** Columns of a step, without payloads. */
export const STEP_COLUMNS = (s: string): string =>
  `${s}.run_id, ${s}.step_id, ${s}.step_name, ${s}.status, ${s}.attempt, ${s}.spec_version, ` +
  `${ms(`${s}.created_at`)}, ${ms(`${s}.updated_at`)}, ${ms(`${s}.started_at`)}, ${ms(`${s}.completed_at`)}, ${ms(`${s}.retry_after`)}`;

export type StepRow = [
  runId: string,
  stepId: string,
  stepName: string,
  status: WorldStep['status'],
  attempt: number,
  specVersion: number | null,
  createdAt: number,
  updatedAt: number,
  startedAt: Time,
  completedAt: Time,
  retryAfter: Time,
  ...input: Payload,
  ...result: Payload,
];

/** Joins and columns of the payloads of a step. */
export function stepPayloads(schema: string, s: string, resolve: ResolveData): { columns: string; joins: string } {
  if (resolve === 'none') {
    const error = `LEFT JOIN ${schema}.world_events result ON result.run_id = ${s}.run_id AND result.slot = CASE WHEN ${s}.status <> 'completed' THEN ${s}.result_slot END`;
    return { columns: `${NO_PAYLOAD}, ${payloadColumns('result')}`, joins: error };
  }
  return {
    columns: `${payloadColumns('input')}, ${payloadColumns('result')}`,
    joins:
      `LEFT JOIN ${schema}.world_events input ON input.run_id = ${s}.run_id AND input.slot = ${s}.created_slot ` +
      `LEFT JOIN ${schema}.world_events result ON result.run_id = ${s}.run_id AND result.slot = ${s}.result_slot`,
  };
}

export function stepOf(row: StepRow, line: Line): WorldStep {
  const [runId, stepId, stepName, status, attempt, specVersion, created, updated, started, completed, retryAfter] = row;
  const input = decoded(row.slice(11, 14) as Payload);
  const result = row.slice(14, 17) as Payload;
  const ended = decoded(result);
  return {
    runId,
    stepId,
    stepName,
    status,
    attempt,
    ...optional('specVersion', specVersion),
    ...optional('input', input?.['input']),
    ...(ended && result[0] === 'step_completed' ? { output: ended['result'] } : {}),
    ...(ended && result[0] !== 'step_completed' ? { error: line.errorOf(ended) } : {}),
    createdAt: new Date(created),
    updatedAt: new Date(updated),
    ...date('startedAt', started),
    ...date('completedAt', completed),
    ...date('retryAfter', retryAfter),
  };
}

/** Columns of a hook, without its metadata. */
export const HOOK_COLUMNS = (h: string): string =>
  `${h}.run_id, ${h}.hook_id, ${h}.token, ${h}.spec_version, ${h}.is_webhook, ${h}.is_system, ${ms(`${h}.created_at`)}`;

export type HookRow = [
  runId: string,
  hookId: string,
  token: string,
  specVersion: number | null,
  isWebhook: boolean | null,
  isSystem: boolean | null,
  createdAt: number,
  ...metadata: Payload,
];

/** Join and columns of the metadata of a hook. */
export function hookPayloads(schema: string, h: string, resolve: ResolveData): { columns: string; joins: string } {
  if (resolve === 'none') return { columns: NO_PAYLOAD, joins: '' };
  return {
    columns: payloadColumns('made'),
    joins: `LEFT JOIN ${schema}.world_events made ON made.run_id = ${h}.run_id AND made.slot = ${h}.created_slot`,
  };
}

export function hookOf(row: HookRow): WorldHook {
  const [runId, hookId, token, specVersion, isWebhook, isSystem, created] = row;
  return {
    runId,
    hookId,
    token,
    ownerId: '',
    projectId: '',
    environment: '',
    ...optional('metadata', decoded(row.slice(7, 10) as Payload)?.['metadata']),
    ...optional('specVersion', specVersion),
    ...optional('isWebhook', isWebhook),
    ...optional('isSystem', isSystem),
    createdAt: new Date(created),
  };
}

/** Columns of a wait. */
export const WAIT_COLUMNS = (w: string): string =>
  `${w}.run_id, ${w}.wait_id, ${w}.status, ${w}.spec_version, ` +
  `${ms(`${w}.resume_at`)}, ${ms(`${w}.created_at`)}, ${ms(`${w}.updated_at`)}, ${ms(`${w}.completed_at`)}`;

export type WaitRow = [string, string, WorldWait['status'], number | null, Time, number, number, Time];

export function waitOf([runId, waitId, status, specVersion, resumeAt, created, updated, completed]: WaitRow): WorldWait {
  return {
    runId,
    waitId,
    status,
    ...optional('specVersion', specVersion),
    ...date('resumeAt', resumeAt),
    createdAt: new Date(created),
    updatedAt: new Date(updated),
    ...date('completedAt', completed),
  };
}

/** Columns of an event. Without payloads, `payload` is not read. */
export const EVENT_COLUMNS = (e: string, resolve: ResolveData): string =>
  `${e}.run_id, ${e}.slot, ${e}.type, ${e}.correlation_id, ${e}.spec_version, ${ms(`${e}.created_at`)}, ${e}.data, ` +
  (resolve === 'none' ? 'NULL::bytea' : `${e}.payload`);

export type EventRow = [
  runId: string,
  slot: string,
  type: string,
  correlationId: string | null,
  specVersion: number | null,
  createdAt: number,
  data: unknown,
  payload: string | null,
];

export function eventOf(row: EventRow, line: Line, resolve: ResolveData): WorldEvent {
  const [runId, slot, eventType, correlationId, specVersion, created, data, payload] = row;
  const whole = decodeData(eventType, data, payload);
  const eventData = resolve === 'none' ? withoutPayload(eventType, whole) : whole;
  return {
    runId,
    eventId: line.eventId(runId, Number(slot), created),
    eventType,
    ...optional('correlationId', correlationId),
    ...optional('eventData', eventData),
    ...optional('specVersion', specVersion),
    createdAt: new Date(created),
  };
}
