import { checkText } from '../core/ids.js';
import type { WorkflowContext } from '../engine/workflow-context.js';

/** A class decorated with `@Workflow`. */
export interface WorkflowClass<I, O> {
  // A property, not a method: methods are compared loosely, and any input would do.
  new (...args: never[]): { run: (input: I, context: WorkflowContext) => Promise<O> };
}

const REF = Symbol.for('nestjs-durable.ref');

/** A workflow that this process does not have as a class: its name, and the types of its input and output. */
export interface WorkflowRef<I, O> {
  readonly name: string;
  readonly [REF]: { readonly input: (input: I) => void; readonly output: () => O } | true;
}

/**
 * Names a workflow for processes that start it and do not have its class.
 *
 * @example
 * const order = workflowRef<Order, Receipt>('order');
 * const handle = await client.start(order, { id: 7 });
 */
export function workflowRef<I = unknown, O = unknown>(name: string): WorkflowRef<I, O> {
  return { name: checkText(name, 'name of the workflow'), [REF]: true };
}

export function isWorkflowRef(target: unknown): target is WorkflowRef<unknown, unknown> {
  return typeof target === 'object' && target !== null && REF in target;
}

// oxlint-disable-next-line typescript/no-explicit-any -- any T at all
type Fixed<T> = [T][T extends any ? 0 : never];

/** `T`, which is not to be inferred from here: the workflow says what its input is, not the call. (`NoInfer` needs TypeScript 5.4.) */
export type { Fixed };

/** The arguments after the workflow: an input of `void` or `undefined` may be left out. */
export type StartArguments<I, Options> = undefined extends I
  ? [input?: I, options?: Options]
  : [I] extends [void]
    ? [input?: undefined, options?: Options]
    : [input: I, options?: Options];
