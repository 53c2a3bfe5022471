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

/** A step without any options, which is most of them, costs no checks. */
export const NO_OPTIONS: StepOptions = Object.freeze({});

/**
 * Calls a step of the pass: what `ctx.step` and methods with `@Step` have in common.
 *
 * @param args what the body is called with; absent for a function that takes nothing
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

/** What is wrong with the name must not show as trouble in a message that names it. */
function shown(name: unknown): string {
  return typeof name === 'string' ? name : typeof name;
}

/** Bad arguments reject the promise that the caller awaits, as an async function would. */
export function toRejection<T>(start: () => Promise<T>): Promise<T> {
  try {
    return start();
  } catch (error) {
    noteRejection(error);
    const rejected = Promise.reject(error);
    // Whoever awaits the call hears of it; a call that nobody awaits must not end the process.
    rejected.catch(() => undefined);
    return rejected;
  }
}

/** The same for what is made of several calls: one of them may be given up when nobody awaits the whole. */
export function ignoreUnhandled<T>(start: () => Promise<T>): Promise<T> {
  const promise = toRejection(start);
  promise.catch(() => undefined);
  return promise;
}
