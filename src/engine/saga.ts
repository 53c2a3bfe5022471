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

  /** @param outer the enclosing scope; undefined for the whole run */
  constructor(private outer: Saga | undefined) {
    outer?.inner.add(this);
  }

  /** True once this scope, or a scope around it, has failed. */
  get hasFailed(): boolean {
    return this.failure !== undefined;
  }

  add(entry: Undoable): void {
    this.entries.push(entry);
  }

  /** Refuses a call in a scope that has failed. @throws SagaEndedError */
  throwIfFailed(name: string): void {
    if (this.failure) throw new SagaEndedError(name, this.failure.error);
  }

  /** Hands the calls of the scope to the enclosing scope, which undoes them if it fails later. */
  complete(): void {
    const { outer } = this;
    if (!outer) return;
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
}
