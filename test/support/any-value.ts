import fc from 'fast-check';

/** Texts that PostgreSQL, JSON or our own escapes may trip over. */
export const anyString = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.array(fc.constantFrom('\0', '%', '\ud800', '\udc00', '$durable', ':', '\\', '"', 'u0000', 'é')).map((parts) => parts.join('')),
);
export const anyKey = fc.oneof(anyString, fc.constantFrom('$durable', '__proto__', 'constructor', 'toJSON', 'value', 'path', '0'));

const leaf = fc.oneof(
  anyString,
  fc.double(),
  fc.integer(),
  fc.bigInt(),
  fc.boolean(),
  fc.constantFrom(null, undefined, -0),
  fc.date({ noInvalidDate: false }),
  fc.uint8Array().map((bytes) => Buffer.from(bytes)),
  fc.constantFrom(/a\0?/g, new URL('http://a/b')),
);

/** Any value that a payload may hold. */
export const anyValue = fc.letrec<{ value: unknown; object: object }>((tie) => ({
  object: fc.array(fc.tuple(anyKey, tie('value')), { maxLength: 4 }).map((entries) => Object.fromEntries(entries) as object),
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    leaf,
    tie('object'),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.array(fc.tuple(tie('value'), tie('value')), { maxLength: 3 }).map((entries) => new Map(entries)),
    fc.array(tie('value'), { maxLength: 3 }).map((values) => new Set(values)),
    fc.anything({
      withBigInt: true,
      withDate: true,
      withMap: true,
      withSet: true,
      withTypedArray: true,
      withUnicodeString: true,
      withObjectString: true,
    }),
  ),
})).value;

/** Jest's own equality trips over invalid Dates and keys such as `constructor`. */
export function isSame(a: unknown, b: unknown): boolean {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return Object.is(a, b);
  if (Object.prototype.toString.call(a) !== Object.prototype.toString.call(b)) return false;
  if (Buffer.isBuffer(a) !== Buffer.isBuffer(b)) return false;
  if (a instanceof Date) return Object.is(a.getTime(), (b as Date).getTime());
  if (a instanceof RegExp) return String(a) === (b as RegExp).toString();
  if (a instanceof URL) return a.href === (b as URL).href;
  const [left, right] = [parts(a), parts(b)];
  return left.length === right.length && left.every((part, index) => isSame(part, right[index]));
}

function parts(value: object): unknown[] {
  if (value instanceof Map) return [...value].flat();
  if (value instanceof Set) return [...value];
  return Object.getOwnPropertyNames(value).flatMap((key) => [key, (value as Record<string, unknown>)[key]]);
}
