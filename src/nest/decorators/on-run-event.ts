import { checkOptions } from '../../core/check-options.js';
import { InvalidInputError, WorkflowConfigurationError } from '../../core/errors/index.js';
import { checkName } from '../../core/ids.js';
import { RUN_EVENTS, type RunEventName, type RunEventOf } from '../../core/run-events.js';
import { isWorkflowRef, type Startable } from '../../core/workflow-types.js';
import { checkModuleName } from '../tokens.js';
import { chainOf } from './step-declarations.js';

/** Options of `@OnRunEvent`. */
export interface OnRunEventOptions {
  /**
   * Workflow of the runs: a class, a reference made by `workflowRef`, or a name. (default: all
   * workflows)
   */
  workflow?: Startable;
  /**
   * True to call the method in a step of a run of its own, which is retried as any step is.
   * (default: false, which calls the method up to five times, in the process that takes the event)
   */
  durable?: boolean;
  /**
   * Name of the listener, of at most 200 characters. Events wait under this name for a process that
   * has the listener. (default: the names of the class and the method: `Alerts.onFailed`)
   */
  name?: string;
  /**
   * Name of the WorkflowModule whose runs the listener observes. (default: the module without a
   * name)
   */
  module?: string;
}

/** A method with `@OnRunEvent`. */
export interface ListenerDeclaration {
  readonly method: string;
  readonly event: RunEventName;
  readonly options: OnRunEventOptions;
}

const LISTENERS = Symbol.for('nestjs-durable.listeners');
const MAX_NAME_LENGTH = 200;

/**
 * Calls a method when something has happened to a run: `run.completed`, `run.failed`,
 * `run.cancelled`, `run.blocked`, `run.workerLost`, or `step.failed` for a step that has no attempt
 * left. The class is an ordinary provider with the default scope. A method may have several of
 * these decorators.
 *
 * The method is called after the fact is in the database, at least once, in one of the processes
 * that have the listener. The run does not wait for the method. A call that fails is repeated.
 *
 * @param event name of the event
 * @param options workflow of the runs, and the way of the call
 * @throws WorkflowConfigurationError when the method is static
 * @throws InvalidInputError naming an argument that is invalid
 * @example
 * @Injectable()
 * export class Alerts {
 *   @OnRunEvent('run.failed', { workflow: OrderWorkflow })
 *   async onFailed({ runId, error }: RunEventOf<'run.failed'>): Promise<void> {
 *     await this.pager.send(`order ${runId} failed: ${error.message}`);
 *   }
 * }
 */
export function OnRunEvent<Name extends RunEventName>(event: Name, options: OnRunEventOptions = {}) {
  return <M extends (event: RunEventOf<Name>) => unknown>(
    target: object,
    property: string | symbol,
    descriptor: TypedPropertyDescriptor<M>,
  ): void => {
    const owner = typeof target === 'function' ? target.name : target.constructor.name;
    const where = `@OnRunEvent() on ${owner}.${String(property)}`;
    if (typeof target === 'function' || typeof descriptor?.value !== 'function')
      throw new WorkflowConfigurationError(`${where}: only methods of instances can be listeners`);
    if (typeof property === 'symbol' || String(property).startsWith('#'))
      throw new WorkflowConfigurationError(`${where}: the method must have a name that is a string`);
    if (!RUN_EVENTS.includes(event)) throw new InvalidInputError(`${where}: event`, `must be one of ${RUN_EVENTS.join(', ')}`);
    const declaration = { method: property, event, options: check(options, where) };
    const known = Object.hasOwn(target, LISTENERS) ? declaredOn(target) : [];
    Object.defineProperty(target, LISTENERS, { value: [...known, declaration], configurable: true });
  };
}

function check(given: OnRunEventOptions, where: string): OnRunEventOptions {
  const options = checkOptions(given, `${where}: options`, ['workflow', 'durable', 'name', 'module']);
  const { workflow, durable, name, module } = options;
  if ('workflow' in options && typeof workflow !== 'function' && typeof workflow !== 'string' && !isWorkflowRef(workflow)) {
    const why = workflow === undefined ? '; it is undefined, perhaps because two files import each other' : '';
    throw new InvalidInputError(`${where}: options.workflow`, `must be a class with @Workflow, a reference or a name${why}`);
  }
  if (durable !== undefined && typeof durable !== 'boolean') throw new InvalidInputError(`${where}: options.durable`, 'must be a boolean');
  if (name !== undefined && checkName(name, `${where}: options.name`).length > MAX_NAME_LENGTH)
    throw new InvalidInputError(`${where}: options.name`, `must have at most ${MAX_NAME_LENGTH} characters`);
  if (module !== undefined) checkModuleName(module, `${where}: options.module`);
  return options;
}

function declaredOn(place: object): readonly ListenerDeclaration[] {
  return (place as { readonly [LISTENERS]?: readonly ListenerDeclaration[] })[LISTENERS] ?? [];
}

/** Returns the listeners of an object or a prototype, with those that it inherits. */
export function listenersOf(start: object): readonly ListenerDeclaration[] {
  return [...chainOf(start)].flatMap((place) => (Object.hasOwn(place, LISTENERS) ? declaredOn(place) : []));
}
