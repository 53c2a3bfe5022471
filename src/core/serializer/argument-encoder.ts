import { types } from 'node:util';

import { Encoder } from './encoder.js';
import type { Json } from './json.js';
import type { Segment } from './path.js';
import { typeOfInstance, typeOfPrototype } from './types.js';

/** Classes whose instances are decoded exactly as they were encoded. */
const EXACT: ReadonlySet<unknown> = new Set(
  [
    [Date, RegExp, Map, Set, URL, Buffer, ArrayBuffer, DataView, Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array],
    [Int32Array, Uint32Array, Float32Array, Float64Array, BigInt64Array, BigUint64Array],
  ].flatMap((group: readonly Function[]) => group.map((each) => each.prototype as unknown)),
);

/** Arguments of one call as a tree. */
export interface EncodedArguments {
  readonly tree: readonly Json[];
  /** True, for each argument, when a decoded copy is indistinguishable from the original. */
  readonly exact: readonly boolean[];
  /**
   * True when the arguments hold instances of registered classes. The tree shows such instances
   * like those of any other class.
   */
  readonly hasTypes: boolean;
}

/**
 * Encodes the arguments of a step, to compare them with the arguments in another pass and to copy
 * them.
 *
 * Two things that differ between passes of the same program are left out. Instances of registered
 * classes are written like any other instance, because the class may be registered later. Stacks of
 * errors are left out, because they change with each edit of the code and with its directory.
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
      this.reached.link(tree);
      // An object that two arguments share is checked only once. If the object is inexact, both
      // are.
      const isShared = this.reached.hasReferences && exact.includes(false);
      return { tree, exact: isShared ? exact.fill(false) : exact, hasTypes: this.hasTypes };
    } catch (cause) {
      throw this.position.asSerializationError(cause);
    }
  }

  protected override content(value: object, segment: Segment, depth: number): Json {
    const prototype: unknown = Object.getPrototypeOf(value);
    if (typeOfPrototype(prototype)) {
      this.hasTypes = true;
      const { isExact } = this;
      const json = super.content(value, segment, depth);
      // The class decides how the instance is decoded, whatever the instance holds.
      this.isExact = isExact;
      return json;
    }
    if (this.isExact && !isExactCopy(value, prototype)) this.isExact = false;
    return super.content(value, segment, depth);
  }

  protected override typeOf(): undefined {
    return undefined;
  }
}

/** True when a decoded copy of the object itself, apart from its members, is the same. */
function isExactCopy(value: object, prototype: unknown): boolean {
  if (types.isProxy(value)) return false;
  if (prototype === Object.prototype)
    return typeof (value as { toJSON?: unknown }).toJSON !== 'function' && Object.getOwnPropertySymbols(value).length === 0;
  // Keys that are not an index come last. The result of RegExp.exec has such keys.
  if (prototype === Array.prototype) return !/\D/.test(Object.keys(value).at(-1) ?? '');
  if (ArrayBuffer.isView(value) && types.isSharedArrayBuffer(value.buffer)) return false;
  return EXACT.has(prototype) && typeOfInstance(prototype) === undefined;
}
