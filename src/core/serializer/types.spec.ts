import { describe, expect, it } from '@jest/globals';

import { PayloadUnreadableError, SerializationError } from '../errors/index.js';
import { Arguments } from './arguments.js';
import { decode, decodeError, decodeErrorExactly, encode, encodeError } from './index.js';
import { serializer, type PayloadType } from './types.js';

/** Decimal number as libraries implement it: digits in private fields, arithmetic, a toJSON. */
class Decimal {
  readonly #units: bigint;
  constructor(text: string) {
    if (!/^-?\d+(\.\d{2})?$/.test(text)) throw new TypeError(`[DecimalError] Invalid argument: ${text}`);
    this.#units = BigInt(text.includes('.') ? text.replace('.', '') : `${text}00`);
  }
  plus(other: Decimal): Decimal {
    const sum = (this.#units + other.#units).toString().padStart(3, '0');
    return new Decimal(`${sum.slice(0, -2)}.${sum.slice(-2)}`);
  }
  toString(): string {
    const digits = this.#units.toString().padStart(3, '0');
    return `${digits.slice(0, -2)}.${digits.slice(-2)}`;
  }
  toJSON(): string {
    return this.toString();
  }
}

/** Moment with a time zone, as in Luxon: holds a Date, and is made by a factory. */
class Moment {
  private constructor(
    readonly at: Date,
    readonly zone: string,
  ) {}
  static of(at: Date, zone: string): Moment {
    return new Moment(at, zone);
  }
}

class PreciseDecimal extends Decimal {}
class Stack extends Array<number> {}
class OutOfStock extends Error {
  constructor(readonly sku: string) {
    super(`no ${sku} left`);
  }
}

serializer.register(Decimal, {
  name: 'test/Decimal',
  serialize: (value) => value.toString(),
  deserialize: (text: string) => new Decimal(text),
});
serializer.register(Moment, {
  name: '$durable:moment %0000',
  serialize: ({ at, zone }) => ({ at, zone }),
  deserialize: ({ at, zone }: { at: Date; zone: string }) => Moment.of(at, zone),
});
serializer.register(Stack, {
  name: 'test/Stack',
  serialize: (stack) => [...stack],
  deserialize: (items: number[]) => Stack.from(items) as Stack,
});
serializer.register(OutOfStock, {
  name: 'test/OutOfStock',
  serialize: ({ sku }) => sku,
  deserialize: (sku: string) => new OutOfStock(sku),
});

const roundTrip = <T>(value: T): T => decode(encode(value, 'input')) as T;
const refusal = (act: () => unknown): unknown => {
  try {
    return act();
  } catch (error) {
    return error;
  }
};

describe('instances of registered classes', () => {
  it('are restored as instances', () => {
    const copy = roundTrip(new Decimal('12.50'));
    expect(copy).toBeInstanceOf(Decimal);
    expect(copy.plus(new Decimal('0.50')).toString()).toBe('13.00');
    const moment = roundTrip(Moment.of(new Date(5), 'Europe/Berlin'));
    expect(moment).toBeInstanceOf(Moment);
    expect(moment.at).toEqual(new Date(5));
    expect(roundTrip(Stack.of(1, 2) as Stack)).toBeInstanceOf(Stack);
  });

  it('are restored inside objects, arrays, Maps, Sets, errors and each other', () => {
    const price = new Decimal('1');
    const value = {
      list: [price],
      map: new Map([[new Decimal('2'), Moment.of(new Date(0), 'UTC')]]),
      set: new Set([new Decimal('3')]),
      error: Object.assign(new Error('x', { cause: new Decimal('4') }), { amount: new Decimal('5') }),
      nested: { at: Moment.of(new Date(1), 'a\0b') },
    };
    const copy = roundTrip(value);
    expect(copy.list[0]!.toString()).toBe('1.00');
    const [[key, moment]] = [...copy.map] as [[Decimal, Moment]];
    expect([key.toString(), moment.zone, [...copy.set][0]!.toString()]).toEqual(['2.00', 'UTC', '3.00']);
    expect((copy.error.cause as Decimal).toString()).toBe('4.00');
    expect(copy.error.amount).toBeInstanceOf(Decimal);
    expect(copy.nested.at.zone).toBe('a\0b');
  });

  it('are restored as one instance when one instance is in several places', () => {
    const price = new Decimal('7');
    const copy = roundTrip({ a: price, b: [price], c: new Map([[price, price]]) });
    expect(copy.b[0]).toBe(copy.a);
    expect([...copy.c.keys()][0]).toBe(copy.a);
    expect(copy.a).toBeInstanceOf(Decimal);
  });

  it('share their members with values beside them', () => {
    const at = new Date(9);
    const { moment, same } = roundTrip({ moment: Moment.of(at, 'UTC'), same: at });
    expect(moment.at).toBe(same);
  });

  it('are restored as the registered class when they are of a subclass', () => {
    const copy = roundTrip(new PreciseDecimal('1'));
    expect(copy).toBeInstanceOf(Decimal);
    expect(copy).not.toBeInstanceOf(PreciseDecimal);
  });

  it('are stored so that SQL can read them', () => {
    expect(JSON.parse(encode({ price: new Decimal('1') }, 'input'))).toEqual({
      price: { $durable: 'type', name: 'test/Decimal', value: '1.00' },
    });
  });

  it('are not confused with data that looks like a stored instance', () => {
    const data = { $durable: 'type', name: 'test/Decimal', value: '1.00' };
    expect(roundTrip(data)).toEqual(data);
  });

  it('stay errors with a message when thrown, and are restored as their class in payloads', () => {
    expect(JSON.parse(encodeError(new OutOfStock('apple')))).toMatchObject({
      name: 'OutOfStock',
      message: 'no apple left',
      data: { sku: 'apple' },
    });
    expect(decodeError(encodeError(new Error('outer', { cause: new OutOfStock('apple') }))).cause).toMatchObject({
      message: 'no apple left',
    });
    expect(roundTrip([new OutOfStock('pear')])[0]).toBeInstanceOf(OutOfStock);
  });

  it('have the same fingerprint as before they were registered', () => {
    const fingerprintOf = (...values: unknown[]): number | null => Arguments.of(values, 1_000).fingerprint;
    expect(fingerprintOf(new Decimal('1'))).toBe(fingerprintOf('1.00'));
  });
});

describe('a registered class with faulty functions', () => {
  const register = (name: string, serialize: PayloadType<object>['serialize'], deserialize: () => object = () => ({})): object => {
    const Odd = class {};
    serializer.register(Odd, { name, serialize, deserialize });
    return new Odd();
  };

  it.each<[string, (value: object) => unknown, string]>([
    [
      'throws',
      () => {
        throw new Error('secret');
      },
      'input.a[0]',
    ],
    ['returns the instance', (value) => value, 'input.a[0]'],
    ['returns an object that contains the instance', (value) => ({ value }), 'input.a[0].serialize().value'],
    ['returns a function', () => () => 1, 'input.a[0].serialize()'],
    ['returns a promise', async () => 1, 'input.a[0].serialize()'],
    ['returns another instance every time', (value) => Object.create(Object.getPrototypeOf(value) as object) as object, 'input.a[0]'],
  ])('a value whose serialize %s is refused with its path', (what, serialize, path) => {
    const value = register(`test/${what}`, serialize);
    const error = refusal(() => encode({ a: [value] }, 'input'));
    expect(error).toBeInstanceOf(SerializationError);
    expect((error as SerializationError).path).toContain(path);
  });

  it('a deserialize that throws makes the value unreadable, and the error does not quote its message', () => {
    const text = encode(
      register(
        'test/thrower',
        () => 'x',
        () => {
          throw new Error('secret 4711');
        },
      ),
      'input',
    );
    const error = refusal(() => decode(text)) as Error;
    expect(error).toBeInstanceOf(PayloadUnreadableError);
    expect(error.message).toContain('test/thrower');
    expect(error.message).not.toContain('4711');
  });

  it('a deserialize that returns a promise makes the value unreadable', () => {
    const text = encode(
      register(
        'test/promiser',
        () => 'x',
        async () => ({}),
      ),
      'input',
    );
    expect(refusal(() => decode(text))).toBeInstanceOf(PayloadUnreadableError);
  });

  it('an instance whose constructor was never called is refused', () => {
    const error = refusal(() => encode(Object.create(Decimal.prototype), 'input'));
    expect(error).toBeInstanceOf(SerializationError);
  });

  it('a proxy whose getPrototypeOf throws is refused', () => {
    const hostile = new Proxy(
      {},
      {
        getPrototypeOf: () => {
          throw new Error('no');
        },
      },
    );
    expect(refusal(() => encode({ hostile }, 'input'))).toBeInstanceOf(SerializationError);
  });
});

describe('a stored instance of a class that this process does not know', () => {
  const text = '{"a":{"$durable":"type","name":"another/Class","value":{"x":1}}}';

  it('makes the value unreadable, and the error names the class', () => {
    const error = refusal(() => decode(text)) as Error;
    expect(error).toBeInstanceOf(PayloadUnreadableError);
    expect(error.message).toContain('"another/Class"');
  });

  it('leaves the message of an error that contains it readable, and makes the exact decoding of the error fail', () => {
    const record = `{"name":"Declined","message":"no money","data":${text}}`;
    expect(decodeError(record)).toMatchObject({ name: 'Declined', message: 'no money' });
    expect(refusal(() => decodeErrorExactly(record))).toBeInstanceOf(PayloadUnreadableError);
  });
});
