import { checkOptions } from '../core/check-options.js';
import {
  InvalidInputError,
  NestedStepError,
  ResultTimeoutError,
  WorkflowCancelledError,
  WorkflowFailedError,
  WorkflowTerminatedError,
} from '../core/errors/index.js';
import { Arguments } from '../core/serializer/arguments.js';
import { channelOf } from '../core/message-kinds.js';
import type { NewRun } from '../core/run.js';
import type { OpenWait } from '../core/step.js';
import { childAddress, childStepName, startedIdKey } from '../core/step-key-format.js';
import type { Call } from './call.js';
import { NO_OPTIONS } from './call-step.js';
import { executionScope } from './current.js';
import type { Message, Settlement } from './message.js';
import { undoOfChild } from './child-undo.js';
import type { ChildCompensation, StartChildOptions, InvokeManyOptions, InvokeOptions } from './context-options.js';
import type { PassHandle } from './pass-handle.js';
import { beginStep } from './step-runner.js';
import { deadlineOf, listen, type WaitSpec } from './wait.js';

const START_OPTIONS = ['id', 'queue', 'queueKey', 'priority', 'tags'];
const START_CHILD_OPTIONS = [...START_OPTIONS, 'key'];
const INVOKE_OPTIONS = [...START_CHILD_OPTIONS, 'timeout', 'onTimeout', 'onCancel', 'signal', 'compensate'];

/**
 * Starts a child run and waits for its result. The start and the wait become durable in one
 * transaction, so a crash neither loses nor duplicates the child.
 */
export function invoke(
  pass: PassHandle,
  workflow: unknown,
  input: unknown,
  options: InvokeOptions & ChildCompensation<never> = {},
): Promise<unknown> {
  checkOptions(options, 'options', INVOKE_OPTIONS);
  checkChoice(options.onTimeout, 'options.onTimeout', ['leave', 'cancel']);
  checkChoice(options.onCancel, 'options.onCancel', ['cancel', 'leave']);
  const start = pass.settings.starts.check(workflow, pick(options, START_OPTIONS));
  const deadline = deadlineOf(pass, options.timeout, 'options.timeout');
  let given = input;
  const begin = (call: Call): void => {
    const recorded = pass.recordedWait(call.stepKey);
    call.begin(pass.settings.now(), recorded);
    if (recorded) return pass.whenDurable(() => !call.settled && awaitChild(pass, call, recorded, options));
    const wakeAt = deadline();
    pass.pendingStarts.began();
    void start
      .withInput(given)
      .then(
        (run) => pass.whenDurable(() => startChild(pass, call, run, wakeAt, options)),
        (error: unknown) => pass.results.settle(call, { error: pass.encodeError(error), attempts: 1 }),
      )
      .finally(() => pass.pendingStarts.ended());
  };
  const resumed = (call: Call, { name }: OpenWait): void => cancelChildOnWithdraw(pass, call, name!, options);
  const deferred = (): void => {
    [given] = Arguments.of([input], pass.settings.payloads.maxBytes).fresh();
  };
  return pass.call({
    kind: 'child',
    name: childStepName('invoke', start.name),
    key: options.key,
    begin,
    signal: options.signal,
    resumed,
    deferred,
    ...undoOfChild(pass, options, (call, wait) => awaitChild(pass, call, wait, options)),
  });
}

/** Starts a run without waiting for its end. Resolves when the new run is durable. */
export function startDetached(
  pass: PassHandle,
  workflow: unknown,
  input: unknown,
  options: StartChildOptions = {},
): Promise<{ runId: string }> {
  checkOptions(options, 'options', START_CHILD_OPTIONS);
  const { settings, definition } = pass;
  const start = settings.starts.check(workflow, pick(options, START_OPTIONS));
  const given = Arguments.of([input], settings.payloads.maxBytes);
  const begin = (call: Call): void => {
    const spec = { ...NO_OPTIONS, retry: definition.retry, timeoutMs: definition.stepTimeoutMs };
    const body = async ([value]: readonly unknown[]): Promise<{ runId: string }> => {
      const run = await start.withInput(value);
      // Every attempt uses the same ids, so a start whose response was lost does not create a
      // second run.
      for (let life = 1; ; life++) {
        const id = options.id ?? settings.starts.idFor(pass.run.id, startedIdKey(call.stepKey, life));
        const named = { ...run, id, hasGivenId: true, parentRunId: pass.run.id, parentStepKey: null } as const;
        const child = withTrace(pass, named);
        const outcome = await pass.effects.startDetached(child);
        // A generated id is taken only when an earlier run with the id of this run has started a
        // child under it. The loop then tries the next id.
        if (outcome === 'started' || options.id !== undefined) return { runId: id };
      }
    };
    beginStep(pass, call, { ...spec, body, given });
  };
  return pass.call({ kind: 'start', name: childStepName('start', start.name), key: options.key, begin }) as Promise<{ runId: string }>;
}

/**
 * Invokes the workflow for each input, at most `maxInFlight` at a time. Returns the results in the
 * order of the inputs.
 */
export async function invokeMany(
  pass: PassHandle,
  workflow: unknown,
  inputs: readonly unknown[],
  options: InvokeManyOptions & ChildCompensation<never> = {},
): Promise<unknown[]> {
  const { maxInFlight = 50, ...each } = options;
  if (!Array.isArray(inputs)) throw new InvalidInputError('inputs', 'must be an array');
  if (!Number.isInteger(maxInFlight) || maxInFlight < 1)
    throw new InvalidInputError('options.maxInFlight', 'must be a whole number from 1');
  // Copies the inputs now: the caller may change them before the last child starts.
  const given = Arguments.of([...(inputs as unknown[])], pass.settings.payloads.maxBytes).fresh();
  const results: unknown[] = Array.from({ length: given.length });
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < given.length) {
      const index = next++;
      try {
        results[index] = await invoke(pass, workflow, given[index], { ...each, key: String(index) });
      } catch (error) {
        // Starts no more children. Children that were started continue.
        next = given.length;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(maxInFlight, given.length) }, work));
  return results;
}

/** Ends the run and starts another in its place, with an empty history. */
export async function continueAsNew(pass: PassHandle, workflow: unknown, input: unknown): Promise<never> {
  const outer = executionScope.getStore();
  if (outer?.step) throw new NestedStepError(outer.step.stepKey, 'continueAsNew');
  // A race branch that has lost must not end the run.
  outer?.signal?.throwIfAborted();
  if (outer?.saga) throw new InvalidInputError('continueAsNew', 'must not be called in ctx.saga: the saga would never end');
  if (pass.definition.isBatch)
    throw new InvalidInputError('continueAsNew', 'must not be called in a workflow with batch: start a run instead');
  const start = pass.settings.starts.check(workflow, {});
  pass.pendingStarts.began();
  const next = await start.withInput(input).finally(() => pass.pendingStarts.ended());
  outer?.signal?.throwIfAborted();
  pass.continueAs(withTrace(pass, next));
  return new Promise<never>(() => undefined);
}

/** Adds the trace context of the pass to a run that the pass starts. */
function withTrace(pass: PassHandle, run: NewRun): NewRun {
  return pass.span ? { ...run, traceContext: pass.span.starts(run) } : run;
}

function startChild(pass: PassHandle, call: Call, run: NewRun, wakeAt: number | null, options: InvokeOptions): void {
  // A detached call has a compensation, and has lost a race while its input was validated.
  if (call.settled || call.hasResult || call.isDetached || pass.isClosed) return;
  const { generation } = pass.run;
  const child = withTrace(pass, { ...run, parentRunId: pass.run.id, parentStepKey: childAddress(call.stepKey, generation) });
  // For a wait for a child, `attempts` stores the generation that started the child.
  const wait = { stepKey: call.stepKey, kind: 'child', name: run.id, wakeAt, attempts: generation, openedAt: call.startedAt } as const;
  pass.openChild(call, wait, child, (error) => pass.results.settle(call, { error: pass.encodeError(error), attempts: 1 }));
  call.childWait = wait;
  awaitChild(pass, call, wait, options);
}

/**
 * Requests the cancellation of the child when the call is withdrawn, unless `onCancel` is
 * `'leave'`.
 */
function cancelChildOnWithdraw(pass: PassHandle, call: Call, childId: string, { onCancel }: InvokeOptions): void {
  if (onCancel === 'leave') return;
  // Only the end of the child tells if the parent must undo the child, so the wait stays open.
  call.onWithdrawn = () => pass.effects.cancelChild(call.undo ? null : call.stepKey, childId);
}

/** Waits for the end of a child that was started. */
function awaitChild(pass: PassHandle, call: Call, { name, wakeAt, attempts }: OpenWait, options: InvokeOptions): void {
  const childId = name!;
  cancelChildOnWithdraw(pass, call, childId, options);
  const spec: WaitSpec = {
    kind: 'child',
    name: childId,
    wakeAt: () => wakeAt,
    expired: () => {
      if (options.onTimeout === 'cancel') pass.effects.cancelChild(call.stepKey, childId);
      return { error: pass.encodeError(new ResultTimeoutError(childId, Math.max(0, wakeAt! - call.startedAt))), attempts: 1 };
    },
    channel: channelOf('child', childAddress(call.stepKey, attempts)),
    taken: (message) => endOf(pass, childId, message),
  };
  listen(pass, call, spec, wakeAt);
}

function endOf(pass: PassHandle, childId: string, { outcome, payload }: Message): Settlement {
  if (outcome === 'value') return { output: payload, attempts: 1 };
  const error = pass.decodeError(payload);
  const thrown =
    error instanceof WorkflowCancelledError || error instanceof WorkflowTerminatedError ? error : new WorkflowFailedError(childId, error);
  return { error: pass.encodeError(thrown), attempts: 1 };
}

function pick(options: object, keys: readonly string[]): object {
  return Object.fromEntries(Object.entries(options).filter(([key]) => keys.includes(key)));
}

function checkChoice(value: string | undefined, argument: string, choices: readonly string[]): void {
  if (value !== undefined && !choices.includes(value))
    throw new InvalidInputError(argument, `must be ${choices.map((choice) => `'${choice}'`).join(' or ')}`);
}
