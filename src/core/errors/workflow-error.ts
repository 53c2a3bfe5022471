/**
 * Key under which an error holds the names of its classes. A process may load a second copy of this
 * package, such as ESM beside CommonJS. The second copy recognises the error by these names.
 */
const LINEAGE = Symbol.for('nestjs-durable.error');

type ErrorClass = Function & { readonly errorName?: string };

function lineageOf(errorClass: ErrorClass): readonly string[] {
  const names: string[] = [];
  for (let current: ErrorClass | null = errorClass; current; current = Object.getPrototypeOf(current) as ErrorClass | null) {
    if (Object.hasOwn(current, 'errorName')) names.push(current.errorName!);
  }
  return names;
}

/**
 * Base class of every error of this package.
 *
 * `instanceof` works across duplicate copies of the package. `code` stays the same in later
 * versions, so programs can rely on it.
 *
 * @example
 * if (error instanceof WorkflowError && error.code === 'RUN_NOT_FOUND') return null;
 */
export abstract class WorkflowError extends Error {
  static readonly errorName: string = 'WorkflowError';

  /** Stable, upper-case identifier of the kind of error. */
  abstract readonly code: string;

  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause });
    const own = new.target as ErrorClass;
    this.name = Object.hasOwn(own, 'errorName') ? own.errorName! : own.name;
    Object.defineProperty(this, 'name', { enumerable: false });
    Object.defineProperty(this, LINEAGE, { value: lineageOf(own), enumerable: false });
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    const self = this as unknown as ErrorClass;
    if (!Object.hasOwn(self, 'errorName')) return Function.prototype[Symbol.hasInstance].call(self, value);
    if (typeof value !== 'object' || value === null) return false;
    try {
      const lineage = (value as Record<symbol, unknown>)[LINEAGE];
      return Array.isArray(lineage) && lineage.includes(self.errorName);
    } catch {
      // The value may be a proxy whose traps throw, because any value can be thrown.
      return false;
    }
  }
}
