import { SagaEndedError } from '../core/errors/index.js';
import type { StepRecord } from '../core/step.js';
import type { Call } from './call.js';
import type { Undo } from './undo.js';

/** A call that has a compensation. */
export interface Undoable {
  readonly call: Call;
  readonly undo: Undo;
  /** Begins the work of the call. */
  readonly begin: (call: Call) => void;
  /** Brings the open call to its end; undefined for a step, which gets its last attempt. */
  readonly bringToEnd: ((call: Call) => void) | undefined;
  /** Result of the call, once the workflow's code could have received it. */
  record: StepRecord | undefined;
  /** Call of the compensation; undefined until it is made. */
  compensation: Promise<void> | undefined;
  /** True once the compensation has succeeded. */
  isUndone: boolean;
}

/**
 * Scope of `ctx.saga`: the calls that are undone when the scope fails. The whole run is the
 * outermost scope.
 */
export class Saga {
  private readonly entries: Undoable[] = [];
  private readonly inner = new Set<Saga>();
  private failure: { readonly error: unknown } | undefined;
  /** True once the function of the scope has returned. */
  private isComplete = false;

  /** @param outer the enclosing scope; undefined for the whole run */
  constructor(private outer: Saga | undefined) {
    this.outer = outer?.current;
    this.outer?.inner.add(this);
  }

  /** True once this scope, or a scope around it, has failed. */
  get hasFailed(): boolean {
    return this.current.failure !== undefined;
  }

  /** True once a scope around this one has failed, and undoes the calls of this one too. */
  get isInFailedSaga(): boolean {
    return this.outer?.hasFailed === true;
  }

  /** Adds a call. A call made after the scope has completed belongs to the enclosing scope. */
  add(entry: Undoable): void {
    this.current.entries.push(entry);
  }

  /** Refuses a call in a scope that has failed. @throws SagaEndedError */
  throwIfFailed(name: string): void {
    const { failure } = this.current;
    if (failure) throw new SagaEndedError(name, failure.error);
  }

  /** Hands the calls of the scope to the enclosing scope, which undoes them if it fails later. */
  complete(): void {
    const outer = this.outer?.current;
    if (!outer) return;
    this.isComplete = true;
    outer.inner.delete(this);
    for (const entry of this.entries) outer.entries.push(entry);
    for (const each of this.inner) {
      each.outer = outer;
      outer.inner.add(each);
    }
  }

  /** Ends the scope and the scopes inside: calls that are made in them later are refused. */
  fail(error: unknown): void {
    this.failure ??= { error };
    for (const each of this.inner) each.fail(error);
  }

  /** Removes the scope from the enclosing one, once its calls are undone. */
  leave(): void {
    this.outer?.inner.delete(this);
  }

  /** Returns the calls of the scope, and of unfinished scopes inside, that are not undone yet. */
  remaining(): Undoable[] {
    const own = this.entries.filter((entry) => !entry.isUndone);
    return [...own, ...[...this.inner].flatMap((each) => each.remaining())];
  }

  /** Scope that calls made now belong to: the nearest one around this one that is not complete. */
  private get current(): Saga {
    return this.isComplete ? this.outer!.current : this;
  }
}
