import { checkOptions } from '../check-options.js';
import { InvalidInputError } from '../errors/index.js';
import { checkText } from '../ids.js';

/** How the instances of a class are stored, and how they come back. */
export interface PayloadType<T> {
  /** What is stored in place of the class: it outlives the class's own name, so keep it. */
  name: string;
  /** What an instance is stored as: plain data, or anything else that a payload may hold. Must not change the instance. */
  serialize: (value: T) => unknown;
  /** An instance again, of what `serialize` gave. */
  deserialize: (data: never) => T;
}

/** A class that was registered. */
export interface RegisteredType {
  readonly name: string;
  readonly serialize: (value: object) => unknown;
  readonly deserialize: (data: unknown) => unknown;
}

interface Registry {
  readonly byName: Map<string, RegisteredType>;
  readonly byPrototype: Map<object, RegisteredType>;
}

const REGISTRY = Symbol.for('nestjs-durable.types');

/** One for all copies of this package in a process: the class is registered in one, and values are stored by the other. */
function sharedRegistry(): Registry {
  const holder = globalThis as { [REGISTRY]?: Registry };
  if (!holder[REGISTRY]) Object.defineProperty(holder, REGISTRY, { value: { byName: new Map(), byPrototype: new Map() } });
  return holder[REGISTRY]!;
}

const registry = sharedRegistry();

/** Their values come back by themselves, or are no data; a registration would change what is stored already. */
const BUILT_IN: ReadonlySet<unknown> = new Set(
  [
    [Object, Function, Array, Boolean, Number, String, Symbol, BigInt, Date, RegExp, Map, Set, WeakMap, WeakSet, Promise, URL],
    [Error, AggregateError, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError],
    [ArrayBuffer, SharedArrayBuffer, DataView, Buffer, Object.getPrototypeOf(Uint8Array) as Function],
    [Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array],
    [Float32Array, Float64Array, BigInt64Array, BigUint64Array],
  ].flatMap((group: readonly Function[]) => group.map((builtIn) => builtIn.prototype as unknown)),
);

/** Teaches payloads classes of the application. Call it while modules are loaded, in every process that starts or executes runs. */
export const serializer = {
  /**
   * Has the instances of a class come back as instances: from step outputs, inputs, outputs, and from within Maps, errors and other objects.
   * An instance of a subclass comes back as the class that was registered, unless the subclass is registered too.
   *
   * @param type the class
   * @param options the name to store it under, and how to store it
   * @throws InvalidInputError when the class is built in or registered already, the name is taken, or an argument is not usable
   * @example
   * serializer.register(Decimal, { name: 'Decimal', serialize: (value) => value.toString(), deserialize: (text: string) => new Decimal(text) });
   */
  register<T extends object>(type: Function & { readonly prototype: T }, options: PayloadType<T>): void {
    const prototype = prototypeOf(type);
    if (BUILT_IN.has(prototype)) throw new InvalidInputError('type', 'is built in and cannot be registered');
    const { name, serialize, deserialize } = checkOptions(options, 'options', ['name', 'serialize', 'deserialize']);
    checkText(name, 'options.name');
    if (typeof serialize !== 'function') throw new InvalidInputError('options.serialize', 'must be a function');
    if (typeof deserialize !== 'function') throw new InvalidInputError('options.deserialize', 'must be a function');
    if (registry.byName.has(name)) throw new InvalidInputError('options.name', `is taken: another class is registered as "${name}"`);
    const other = registry.byPrototype.get(prototype);
    if (other) throw new InvalidInputError('type', `is registered already, as "${other.name}"`);
    const registered = { name, serialize, deserialize } as RegisteredType;
    registry.byName.set(registered.name, registered);
    registry.byPrototype.set(prototype, registered);
  },
};

/** The registration of an object's class, or of the nearest class that it extends. */
export function typeOfInstance(prototype: unknown): RegisteredType | undefined {
  if (registry.byPrototype.size === 0) return undefined;
  for (let current: unknown = prototype; typeof current === 'object' && current !== null; current = Object.getPrototypeOf(current)) {
    const type = registry.byPrototype.get(current);
    if (type) return type;
  }
  return undefined;
}

/** The registration of a class itself, not of one that it extends. */
export function typeOfPrototype(prototype: unknown): RegisteredType | undefined {
  return registry.byPrototype.size === 0 ? undefined : registry.byPrototype.get(prototype as object);
}

/** The class that is registered under a stored name. */
export function typeNamed(name: string): RegisteredType | undefined {
  return registry.byName.get(name);
}

function prototypeOf(type: unknown): object {
  let prototype: unknown;
  try {
    prototype = typeof type === 'function' ? (type as { prototype?: unknown }).prototype : undefined;
  } catch (cause) {
    throw new InvalidInputError('type', 'cannot be read', { cause });
  }
  if (typeof prototype !== 'object' || prototype === null) throw new InvalidInputError('type', 'must be a class');
  return prototype;
}
