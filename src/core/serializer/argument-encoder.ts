import { types } from 'node:util';

import { Encoder } from './encoder.js';
import type { Json } from './json.js';
import type { Segment } from './path.js';
import { typeOfInstance, typeOfPrototype } from './types.js';

/** Classes whose instances come back as they went in. */
const EXACT: ReadonlySet<unknown> = new Set(
  [
    [Date, RegExp, Map, Set, URL, Buffer, ArrayBuffer, DataView, Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array],
    [Int32Array, Uint32Array, Float32Array, Float64Array, BigInt64Array, BigUint64Array],
  ].flatMap((group: readonly Function[]) => group.map((each) => each.prototype as unknown)),
);

/** The arguments of one call as a tree. */
export interface EncodedArguments {
  readonly tree: readonly Json[];
  /** Of each argument, whether a decoded copy could not be told from the original. */
  readonly exact: readonly boolean[];
  /** Whether they hold instances of registered classes, which the tree shows like those of any other class. */
  readonly hasTypes: boolean;
}

/**
 * Encodes the arguments of a step, to compare them with those of another pass and to copy them.
 *
 * Two things that differ between passes of the same program are left out. Instances of registered classes are written like any other instance,
 * because the class may be registered later. The stacks of errors move with each edit and each directory.
 */
export class ArgumentEncoder extends Encoder {
  override readonly stacks = 'left out' as const;
  private isExact = true;
  private hasTypes = false;

  constructor(maxBytes: number) {
    super('arguments', undefined, maxBytes);
  }

  /** @throws SerializationError, PayloadTooLargeError */
  arguments(values: readonly unknown[]): EncodedArguments {
    const exact: boolean[] = [];
    try {
      const tree = values.map((value, index) => {
        this.isExact = true;
        const json = this.value(value, index, 1);
        exact.push(this.isExact);
        return json;
      });
      this.link(tree);
      // An inexact object that a second argument shares is looked at only once.
      const isShared = this.references.length > 0 && exact.includes(false);
      return { tree, exact: isShared ? exact.fill(false) : exact, hasTypes: this.hasTypes };
    } catch (cause) {
      throw this.asSerializationError(cause);
    }
  }

  protected override content(value: object, segment: Segment, depth: number): Json {
    const prototype: unknown = Object.getPrototypeOf(value);
    if (typeOfPrototype(prototype)) {
      this.hasTypes = true;
      const { isExact } = this;
      const json = super.content(value, segment, depth);
      // Its class decides how it comes back, whatever its fields hold.
      this.isExact = isExact;
      return json;
    }
    if (this.isExact && !comesBack(value, prototype)) this.isExact = false;
    return super.content(value, segment, depth);
  }

  protected override typeOf(): undefined {
    return undefined;
  }
}

/** Whether the object itself, apart from what it holds, comes back as it went in. */
function comesBack(value: object, prototype: unknown): boolean {
  if (types.isProxy(value)) return false;
  if (prototype === Object.prototype)
    return typeof (value as { toJSON?: unknown }).toJSON !== 'function' && Object.getOwnPropertySymbols(value).length === 0;
  // Keys that are no index come last: what RegExp.exec returns has some.
  if (prototype === Array.prototype) return !/\D/.test(Object.keys(value).at(-1) ?? '');
  if (ArrayBuffer.isView(value) && types.isSharedArrayBuffer(value.buffer)) return false;
  return EXACT.has(prototype) && typeOfInstance(prototype) === undefined;
}
