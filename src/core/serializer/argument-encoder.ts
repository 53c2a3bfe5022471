import { types } from 'node:util';

import { Encoder } from './encoder.js';
import type { Json } from './json.js';
import type { Segment } from './path.js';
import { typeOfInstance, typeOfPrototype } from './types.js';

/** Prototypes of the built-in classes whose instances are decoded exactly as they were encoded. */
const EXACT: ReadonlySet<unknown> = new Set(
  [
    [Date, RegExp, Map, Set, URL, Buffer, ArrayBuffer, DataView, Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array],
    [Int32Array, Uint32Array, Float32Array, Float64Array, BigInt64Array, BigUint64Array],
  ].flatMap((group: readonly Function[]) => group.map((each) => each.prototype as unknown)),
);

/** Encoded arguments of one call. */
export interface EncodedArguments {
  readonly tree: readonly Json[];
  /**
   * One flag for each argument: true when a decoded copy is indistinguishable from the original.
   */
  readonly exact: readonly boolean[];
  /**
   * True when the arguments contain instances of registered classes. The encoded tree does not say
   * which of its objects were such instances, so the arguments cannot be rebuilt from the tree.
   */
  readonly hasTypes: boolean;
}

/**
 * Encodes the arguments of a step, to copy them, and to compare them with the arguments of the same
 * step in a replay.
 *
 * A replay must get the same encoding for the same arguments, even in a later deployment. So the
 * encoding does not depend on two things:
 * - Registrations: an instance of a registered class is encoded like any other instance, because a
 *   deployment may register the class while runs are active.
 * - Stacks of errors, which change with each edit of the code and with the directory of the code.
 */
export class ArgumentEncoder extends Encoder {
  override readonly stacks = 'left out' as const;
  private isExact = true;
  private hasTypes = false;

  constructor(maxBytes: number) {
    super('arguments', undefined, maxBytes);
  }

  /**
   * Encodes the arguments of one call.
   *
   * @throws SerializationError or PayloadTooLargeError when an argument cannot be encoded
   */
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
      // An object that several arguments share is checked only once. If any argument is inexact,
      // the shared object may be the cause, so all arguments count as inexact.
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
      // The registered class itself decodes the instance, so values inside the instance do not make
      // the argument inexact.
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

/**
 * True when decoding reproduces the object exactly. The members of the object are checked
 * separately.
 */
function isExactCopy(value: object, prototype: unknown): boolean {
  if (types.isProxy(value)) return false;
  if (prototype === Object.prototype)
    return typeof (value as { toJSON?: unknown }).toJSON !== 'function' && Object.getOwnPropertySymbols(value).length === 0;
  // A copy of an array would lose keys that are not indexes, such as those of the result of
  // RegExp.exec. Such keys come last, so only the last key is checked.
  if (prototype === Array.prototype) return !/\D/.test(Object.keys(value).at(-1) ?? '');
  if (ArrayBuffer.isView(value) && types.isSharedArrayBuffer(value.buffer)) return false;
  return EXACT.has(prototype) && typeOfInstance(prototype) === undefined;
}
