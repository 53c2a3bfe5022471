import { checkOptions } from '../core/check-options.js';
import { toMilliseconds } from '../core/duration.js';
import { InvalidInputError } from '../core/errors/index.js';
import { checkText } from '../core/ids.js';
import { toRetryPolicy } from '../core/retry-policy.js';
import { Arguments } from '../core/serializer/arguments.js';
import { toIsolation } from '../core/transactional.js';
import type { StepBody, StepSpec } from './call.js';
import type { PassHandle } from './pass-handle.js';
import type { WorkflowDefinition } from './ports.js';
import { beginStep } from './step-runner.js';
import type { CompensateOptions, StepOptions } from './context-options.js';
import { noteRejection } from './rejections.js';
import type { UndoSource } from './undo.js';
import { checkCompensation, toUndo } from './undo-options.js';

/**
 * Options of a step that was called without options, as most steps are. Checks are skipped for this
 * object.
 */
export const NO_OPTIONS: StepOptions = Object.freeze({});

/**
 * Calls a step. Used by `ctx.step` and by methods with `@Step`.
 *
 * @param args arguments for the body; undefined when the body takes none
 * @param undo compensation of the step; undefined when it has none
 */
export function callStep(
  pass: PassHandle,
  name: string,
  options: StepOptions,
  args: readonly unknown[] | undefined,
  body: StepBody,
  undo?: UndoSource,
): Promise<unknown> {
  const checked = options === NO_OPTIONS ? options : checkStepOptions(name, options);
  const given = args === undefined ? undefined : Arguments.of(args, pass.settings.payloads.maxBytes);
  const spec: StepSpec = { ...policyOf(pass.definition, name, checked), body, given };
  return pass.call({
    kind: 'step',
    name,
    key: checked.key,
    argsHash: given?.fingerprint ?? null,
    begin: (call) => beginStep(pass, call, spec),
    undo: undo && toUndo(pass, undo, args ?? [], spec, `step "${shown(name)}"`),
  });
}

/**
 * Returns the retry policy, the time limit and the transaction of a step, from its options and the
 * defaults of the workflow.
 */
export function policyOf(
  definition: WorkflowDefinition,
  name: string,
  options: StepOptions,
): Pick<StepSpec, 'retry' | 'timeoutMs' | 'isolation' | 'limit'> {
  const { retry, stepTimeoutMs, longestStepMs = Number.POSITIVE_INFINITY } = definition;
  if (options === NO_OPTIONS) return { retry, timeoutMs: stepTimeoutMs };
  const timeoutMs = options.timeout === undefined ? stepTimeoutMs : toMilliseconds(options.timeout, `timeout of step "${shown(name)}"`);
  return {
    retry: toRetryPolicy(options.retry, retry, `retry of step "${shown(name)}"`),
    timeoutMs: Math.min(timeoutMs, longestStepMs),
    isolation: toIsolation(options.transactional, `transactional of step "${shown(name)}"`),
    limit: options.limit === undefined ? undefined : checkText(options.limit, `limit of step "${shown(name)}"`),
  };
}

/**
 * Separates the compensation of a step from the other options of `ctx.step`.
 *
 * @throws InvalidInputError
 */
export function splitCompensation<T>(
  name: string,
  options: StepOptions & CompensateOptions<T>,
): { readonly options: StepOptions; readonly undo: UndoSource | undefined } {
  const where = `options of step "${shown(name)}"`;
  const { compensate, compensateOn, ...own } = checkOptions(options, where, [...STEP_OPTIONS, 'compensate', 'compensateOn']);
  checkCompensation(options, where);
  if (compensate === undefined) return { options: own, undo: undefined };
  if (typeof compensate !== 'function') throw new InvalidInputError(`${where}.compensate`, 'must be a function');
  return { options: own, undo: { on: compensateOn, body: (output) => compensate(output as T) } };
}

const STEP_OPTIONS = ['key', 'retry', 'timeout', 'transactional', 'limit'];

function checkStepOptions(name: unknown, options: StepOptions): StepOptions {
  return checkOptions(options, `options of step "${shown(name)}"`, STEP_OPTIONS);
}

/**
 * Returns a name as text for error messages. A name that is not a string is shown as its type, so
 * that the error message can still be built.
 */
function shown(name: unknown): string {
  return typeof name === 'string' ? name : typeof name;
}

/** Turns an error that `start` throws into a rejection, as an async function would. */
export function toRejection<T>(start: () => Promise<T>): Promise<T> {
  try {
    return start();
  } catch (error) {
    noteRejection(error);
    const rejected = Promise.reject(error);
    // Code that awaits the promise still gets the error. Without this handler, a promise that no
    // code awaits would end the process.
    rejected.catch(() => undefined);
    return rejected;
  }
}

/**
 * Starts an operation that makes several calls, and handles its rejection. The operation may reject
 * when no code awaits it, for example because one of its calls was withdrawn. Without a handler,
 * Node would then end the process.
 */
export function ignoreUnhandled<T>(start: () => Promise<T>): Promise<T> {
  const promise = toRejection(start);
  promise.catch(() => undefined);
  return promise;
}
