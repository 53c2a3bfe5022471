import { createSecretKey } from 'node:crypto';

import { describe, expect, it } from '@jest/globals';

import { PayloadUnreadableError, SerializationError } from '../errors/index.js';
import { decode, encode } from './index.js';

function refusal(value: unknown, path = 'input'): SerializationError {
  try {
    encode(value, path);
  } catch (error) {
    if (error instanceof SerializationError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

/** Makes an object of WebAssembly, which is missing in the types of this project. */
function emptyWebAssembly(): object {
  const { WebAssembly } = globalThis as unknown as { WebAssembly: { Memory: new (limits: { initial: number }) => object } };
  return new WebAssembly.Memory({ initial: 1 });
}

function nest(levels: number, wrap: (inner: unknown) => unknown): unknown {
  let value: unknown = 1n;
  for (let level = 0; level < levels; level++) value = wrap(value);
  return value;
}

describe('encode and a value that is not data', () => {
  const f = (): void => undefined;
  it.each<[string, unknown, string]>([
    ['a function at the root', f, 'input'],
    ['a symbol at the root', Symbol('s'), 'input'],
    ['a function in an array', { items: [1, 2, 3, { price: f }] }, 'input.items[3].price'],
    ['a function under an odd key', { 'a b': { '': f } }, 'input["a b"][""]'],
    ['a boxed symbol', { a: Object(Symbol('s')) }, 'input.a'],
    ['a promise', { a: Promise.resolve() }, 'input.a'],
    ['a WeakMap', [new WeakMap()], 'input[0]'],
    ['a WeakRef', [new WeakRef({})], 'input[0]'],
    ['a generator', { g: (function* () {})() }, 'input.g'],
    ['an iterator', { g: new Map().entries() }, 'input.g'],
    ['URLSearchParams', { q: new URLSearchParams('a=b') }, 'input.q'],
    ['a number format', { f: new Intl.NumberFormat('de') }, 'input.f'],
    ['a locale', { l: new Intl.Locale('de') }, 'input.l'],
    ['a key', { k: createSecretKey(Buffer.from('abc')) }, 'input.k'],
    ['an event', { e: new Event('x') }, 'input.e'],
    ['a custom event', { e: new CustomEvent('x', { detail: 1 }) }, 'input.e'],
    ['memory of WebAssembly', { m: emptyWebAssembly() }, 'input.m'],
    ['a SharedArrayBuffer', { b: new SharedArrayBuffer(1) }, 'input.b'],
    ['a proxy of a Map', { p: new Proxy(new Map(), {}) }, 'input.p'],
    ['a value of a Map', { m: new Map([['k', [f]]]) }, 'input.m.get("k")[0]'],
    ['a key of a Map', { m: new Map([[f, 1]]) }, 'input.m.keys()[0]'],
    ['a value of a Map under an object', { m: new Map([[{}, f]]) }, 'input.m.values()[0]'],
    ['a member of a Set', { s: new Set([1, f]) }, 'input.s.values()[1]'],
    ['a function in the result of toJSON', { a: { toJSON: () => ({ b: f }) } }, 'input.a.toJSON().b'],
    [
      'an endless toJSON',
      {
        a: {
          toJSON() {
            return { ...this };
          },
        },
      },
      'input.a.toJSON()',
    ],
    ['an array that claims to be huge', { a: Object.assign([], { length: 2 ** 31 }) }, 'input.a'],
  ])('encode refuses %s with its path', (_, value, path) => {
    const { path: actual, code, message } = refusal(value);
    expect(actual.startsWith(path)).toBe(true);
    if (!path.endsWith('toJSON()')) expect(actual).toBe(path);
    expect(code).toBe('SERIALIZATION');
    expect(message).toContain('cannot be stored');
  });

  it('encode starts the path in its error with the given name of the root', () => {
    expect(refusal({ a: Symbol('s') }, 'output of step "charge"').path).toBe('output of step "charge".a');
  });

  it.each<[string, () => unknown, string]>([
    [
      'through an object',
      () => {
        const o: Record<string, unknown> = {};
        o.a = { b: [o] };
        return o;
      },
      'input.a.b[0]',
    ],
    [
      'through an array',
      () => {
        const a: unknown[] = [];
        a.push(a);
        return { a };
      },
      'input.a[0]',
    ],
    [
      'through a Map',
      () => {
        const m = new Map<string, unknown>();
        m.set('k', m);
        return m;
      },
      'input.get("k")',
    ],
  ])('encode refuses a cycle %s with its path', (_, make, path) => {
    const error = refusal(make());
    expect(error.path).toBe(path);
    expect(error.message).toContain('cycle');
  });

  it('encode refuses a getter that throws, with its path and the thrown error as cause', () => {
    const cause = new Error('no');
    const value = {
      ok: 1,
      list: [
        {
          get bad(): never {
            throw cause;
          },
        },
      ],
    };
    expect(refusal(value)).toMatchObject({ path: 'input.list[0].bad', cause });
  });

  it('encode refuses a toJSON that throws, with its path and the thrown error as cause', () => {
    const cause = new Error('no');
    expect(
      refusal({
        deep: { x: { y: 1 } },
        a: {
          toJSON() {
            throw cause;
          },
        },
      }),
    ).toMatchObject({ path: 'input.a', cause });
  });

  it('encode refuses a revoked proxy in an array with its path', () => {
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    expect(refusal({ before: { x: [] }, a: [0, proxy] }).path).toBe('input.a[1]');
  });

  it('encode refuses an array element that cannot be read with its path', () => {
    const list: unknown[] = [{ a: { b: 1 } }, 2];
    Object.defineProperty(list, 1, {
      get: () => {
        throw new Error('no');
      },
      enumerable: true,
    });
    expect(refusal({ list }).path).toBe('input.list[1]');
  });
});

describe('the depth of a value', () => {
  it.each<[string, (inner: unknown) => unknown]>([
    ['objects', (next) => ({ next })],
    ['arrays', (inner) => [inner]],
    ['Maps', (inner) => new Map([[inner, inner]].slice(0, 1).map(([, v]) => ['k', v]))],
    ['Sets', (inner) => new Set([inner])],
  ])('is limited to 1,000 levels of %s', (_, wrap) => {
    const value = nest(1_000, wrap);
    const text = encode(value, 'input');
    expect(encode(decode(text), 'input')).toBe(text);
    expect(refusal(nest(1_001, wrap)).message).toContain('1000 levels');
    expect(refusal(nest(100_000, wrap)).path.length).toBeLessThan(1_000);
  });

  it('is limited for errors too, and no property is left out because of the depth', () => {
    const wrap = (inner: unknown): Error => new Error('x', { cause: inner });
    const value = nest(200, wrap);
    expect(encode(decode(encode(value, 'input')), 'input')).toBe(encode(value, 'input'));
    expect(refusal(nest(1_001, wrap)).message).toMatch(/deep/);
  });

  it('makes encode throw a SerializationError when the stack is exhausted', () => {
    const value = nest(900, (next) => ({ next }));
    const dive = (): string => {
      try {
        return dive();
      } catch (error) {
        if (error instanceof SerializationError) throw error;
        return encode(value, 'input');
      }
    };
    let outcome: unknown;
    try {
      outcome = dive();
    } catch (error) {
      outcome = error;
    }
    expect(typeof outcome === 'string' || outcome instanceof SerializationError).toBe(true);
  });
});

describe('stored text of another version', () => {
  it.each(['{"a":{"$durable":"temporal","value":"x"}}', '{"$durable":5}', '{"$durable":"bytes","type":"Float128Array","value":""}'])(
    'decode refuses %s, and does not return it as data',
    (text) => {
      expect(() => decode(text)).toThrow(PayloadUnreadableError);
    },
  );

  it('decode refuses a reference that leads nowhere', () => {
    expect(() => decode('[{"$durable":"ref","path":["constructor"]}]')).toThrow('leads nowhere');
  });
});
