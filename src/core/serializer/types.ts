import { checkOptions } from '../check-options.js';
import { InvalidInputError } from '../errors/index.js';
import { checkText } from '../ids.js';

/** Name and functions by which instances of a class are stored and restored. */
export interface PayloadType<T> {
  /** Name that is stored with each instance. Keep the name when you rename the class. */
  name: string;
  /**
   * Returns the data to store for an instance: any value that a payload may hold. Must not change
   * the instance, and must not return a promise.
   */
  serialize: (value: T) => unknown;
  /** Restores an instance from the data that `serialize` returned. Must not return a promise. */
  deserialize: (data: never) => T;
}

/**
 * Registration of a class: the stored name, and the functions that store and restore an instance.
 */
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

/**
 * Returns the registry of the process, which all copies of this package share. One copy may
 * register a class whose instances another copy stores.
 */
function sharedRegistry(): Registry {
  const holder = globalThis as { [REGISTRY]?: Registry };
  if (!holder[REGISTRY]) Object.defineProperty(holder, REGISTRY, { value: { byName: new Map(), byPrototype: new Map() } });
  return holder[REGISTRY]!;
}

const registry = sharedRegistry();

/**
 * Prototypes of built-in classes, which cannot be registered. Instances of these classes are
 * restored without a registration, or are not data. A registration would change how values that are
 * already stored are read.
 */
const BUILT_IN: ReadonlySet<unknown> = new Set(
  [
    [Object, Function, Array, Boolean, Number, String, Symbol, BigInt, Date, RegExp, Map, Set, WeakMap, WeakSet, Promise, URL],
    [Error, AggregateError, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError],
    [ArrayBuffer, SharedArrayBuffer, DataView, Buffer, Object.getPrototypeOf(Uint8Array) as Function],
    [Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array],
    [Float32Array, Float64Array, BigInt64Array, BigUint64Array],
  ].flatMap((group: readonly Function[]) => group.map((builtIn) => builtIn.prototype as unknown)),
);

/**
 * Registry of the application's classes whose instances payloads may contain. Register a class
 * while modules are loaded, in every process that starts or executes runs.
 */
export const serializer = {
  /**
   * Registers a class, so that its instances are restored as instances: in inputs, outputs and step
   * outputs, also inside Maps, errors and other objects. An instance of a subclass is restored as
   * the registered class, unless the subclass is registered too.
   *
   * @param type the class
   * @param options the stored name, and the functions that store and restore an instance
   * @throws InvalidInputError when the class is built in or already registered, the name is taken,
   *   or an argument is not valid
   * @example
   * serializer.register(Decimal, {
   *   name: 'Decimal',
   *   serialize: (value) => value.toString(),
   *   deserialize: (text: string) => new Decimal(text),
   * });
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

/** Returns the registration of an object's class, or of the nearest registered base class. */
export function typeOfInstance(prototype: unknown): RegisteredType | undefined {
  if (registry.byPrototype.size === 0) return undefined;
  for (let current: unknown = prototype; typeof current === 'object' && current !== null; current = Object.getPrototypeOf(current)) {
    const type = registry.byPrototype.get(current);
    if (type) return type;
  }
  return undefined;
}

/**
 * Returns the registration of the class with this prototype. Ignores registrations of base classes.
 */
export function typeOfPrototype(prototype: unknown): RegisteredType | undefined {
  return registry.byPrototype.size === 0 ? undefined : registry.byPrototype.get(prototype as object);
}

/** Returns the registration under a stored name. */
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
