import type { ExportedHistory, ExportedOutcome } from '../client/queries/exported-history.js';
import { checkOptions } from '../core/check-options.js';
import { InvalidInputError, WorkflowTerminatedError } from '../core/errors/index.js';
import { ManualClock } from '../core/manual-clock.js';
import { Payloads, type PayloadCodec } from '../core/payloads.js';
import { workflowIdentityOf } from '../core/workflow-metadata.js';
import type { WorkflowClass } from '../core/workflow-types.js';
import type { PassOutcome, Recording } from '../engine/ports.js';
import { verifyReplay } from '../engine/verify-replay.js';
import { loadWorkflows, type StandaloneProviders } from '../nest/standalone-workflows.js';
import { standaloneEngine } from './memory/engine-settings.js';
import { checkPayloads, readHistory } from './read-history.js';

/** Options of `replayHistory`. */
export interface ReplayHistoryOptions {
  /** Providers that the workflow injects. A replay calls none of their steps. (default: none) */
  providers?: StandaloneProviders;
  /** Codec of the application that recorded the run. (default: none) */
  codec?: PayloadCodec;
}

/** Codes of failures that the module caused, and not the workflow's code. */
const NOT_BY_CODE = ['NON_DETERMINISM', 'REPLAY_DIFFERENCE', 'WORKER_LOST'];

/**
 * Replays a recorded run with today's code of its workflow, and compares the two. Executes no step
 * body. Resolves when the code fits the history. A run that has not ended is compared as far as it
 * came.
 *
 * @param workflow class with `@Workflow`. Nest creates its instance
 * @param history result of `client.exportHistory` or of the command `export`: the object, or its
 *   JSON text
 * @throws ReplayDifferenceError that names the first difference
 * @throws InvalidInputError when the history is no export, is damaged, or belongs to another
 *   workflow
 * @example
 * const history = readFileSync('histories/order-7.json', 'utf8');
 * await replayHistory(OrderWorkflow, history, { providers: [PaymentService] });
 */
export async function replayHistory(
  workflow: WorkflowClass,
  history: ExportedHistory | string,
  options: ReplayHistoryOptions = {},
): Promise<void> {
  const { providers = [], codec } = checkOptions(options, 'options', ['providers', 'codec']);
  if (codec !== undefined && (typeof codec?.encode !== 'function' || typeof codec.decode !== 'function'))
    throw new InvalidInputError('options.codec', 'must be an object with the functions encode and decode');
  const exported = readHistory(history);
  const { name, version } = workflowIdentityOf(workflow);
  const recorded = exported.workflow;
  if (recorded.name !== name || recorded.version !== version) {
    const what = `workflow "${recorded.name}" version ${recorded.version}`;
    throw new InvalidInputError('history', `is of ${what}, and ${workflow.name} is "${name}" version ${version}`);
  }
  const loaded = await loadWorkflows(workflow as never, providers);
  try {
    const definition = loaded.definitions.find((each) => each.name === name && each.version === version)!;
    const payloads = new Payloads(loaded.settings.maxPayloadBytes, codec);
    checkPayloads(exported, payloads);
    const engine = standaloneEngine(new ManualClock(exported.run.startedAt), payloads, loaded.module, 'verifies');
    const difference = await verifyReplay({ definition, ...recordingOf(exported, payloads) }, engine);
    if (difference) throw difference;
  } finally {
    await loaded.close();
  }
}

/**
 * Returns the parts of a recording. An end that the code did not cause, such as a termination, is
 * left out: a replay does not repeat it.
 */
function recordingOf({ run, outcome, history }: ExportedHistory, payloads: Payloads): Omit<Recording, 'definition'> {
  const isStopped = history.steps.some(({ kind }) => kind === 'cancel');
  const isByCode = outcome !== null && isEndByCode(outcome, isStopped, payloads);
  return { run, history, ...(isByCode ? { outcome: outcome as PassOutcome, endedAt: run.finishedAt ?? undefined } : {}) };
}

function isEndByCode(outcome: ExportedOutcome, isStopped: boolean, payloads: Payloads): boolean {
  if (outcome.status === 'completed') return true;
  // A run that was cancelled can still be terminated, in the middle of its cleanup.
  if (outcome.status === 'cancelled') return isStopped && payloads.showError(outcome.error).name !== WorkflowTerminatedError.errorName;
  const { code } = outcome.failure;
  return !NOT_BY_CODE.includes(code) && (isStopped || code !== 'WORKFLOW_TIMEOUT');
}
