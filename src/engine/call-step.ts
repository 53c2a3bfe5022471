import { checkOptions } from '../core/check-options.js';
import { toMilliseconds } from '../core/duration.js';
import { toRetryPolicy } from '../core/retry-policy.js';
import { Arguments } from '../core/serializer/arguments.js';
import type { StepBody, StepSpec } from './call.js';
import type { PassHandle } from './pass-handle.js';
import type { WorkflowDefinition } from './ports.js';
import { beginStep } from './step-runner.js';
import type { StepOptions } from './context-options.js';
import { noteRejection } from './rejections.js';

/** Marks a step without options. Most steps have none, and their checks are skipped. */
export const NO_OPTIONS: StepOptions = Object.freeze({});

/**
 * Calls a step of the pass, for `ctx.step` and for methods with `@Step`.
 *
 * @param args arguments of the body; undefined for a function that takes none
 */
export function callStep(
  pass: PassHandle,
  name: string,
  options: StepOptions,
  args: readonly unknown[] | undefined,
  body: StepBody,
): Promise<unknown> {
  const checked = options === NO_OPTIONS ? options : checkStepOptions(name, options);
  const given = args === undefined ? undefined : Arguments.of(args, pass.settings.payloads.maxBytes);
  const spec = toSpec(pass.definition, name, checked, body, given);
  return pass.call('step', name, checked.key, given === undefined ? null : given.fingerprint, (call) => beginStep(pass, call, spec));
}

function checkStepOptions(name: unknown, options: StepOptions): StepOptions {
  return checkOptions(options, `options of step "${shown(name)}"`, ['key', 'retry', 'timeout']);
}

function toSpec(
  definition: WorkflowDefinition,
  name: string,
  options: StepOptions,
  body: StepBody,
  given: Arguments | undefined,
): StepSpec {
  const { retry, stepTimeoutMs, longestStepMs = Number.POSITIVE_INFINITY } = definition;
  if (options === NO_OPTIONS) return { retry, timeoutMs: stepTimeoutMs, body, given };
  const timeoutMs = options.timeout === undefined ? stepTimeoutMs : toMilliseconds(options.timeout, `timeout of step "${shown(name)}"`);
  return {
    retry: toRetryPolicy(options.retry, retry, `retry of step "${shown(name)}"`),
    timeoutMs: Math.min(timeoutMs, longestStepMs),
    body,
    given,
  };
}

/**
 * Returns a name for use in messages. An invalid name must not break the message that reports it.
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
    // Code that awaits the call gets the error. A call that no code awaits must not end the
    // process.
    rejected.catch(() => undefined);
    return rejected;
  }
}

/**
 * Starts an operation of several calls whose rejection may be ignored. One of its calls may be
 * withdrawn when no code awaits the whole.
 */
export function ignoreUnhandled<T>(start: () => Promise<T>): Promise<T> {
  const promise = toRejection(start);
  promise.catch(() => undefined);
  return promise;
}
