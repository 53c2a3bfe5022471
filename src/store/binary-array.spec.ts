import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { createTestDatabase, type TestDatabase } from '../../test/support/database.js';
import { toBinaryArray, type ArrayType } from './binary-array.js';

const text = fc.string({ unit: 'binary', maxLength: 40 }).map((value) => value.replaceAll('\0', '').toWellFormed());

/** Arbitrary values per type. PostgreSQL must print each value as the text that was sent. */
const columns: Record<ArrayType, fc.Arbitrary<unknown>> = {
  text,
  json: fc.jsonValue().map((value) => JSON.stringify(value).replaceAll('\\u0000', '')),
  int: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
  smallint: fc.integer({ min: -32_768, max: 32_767 }),
  bigint: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String),
  float8: fc.double({ noDefaultInfinity: true, noNaN: true }),
  boolean: fc.boolean(),
};

describe('a column of rows as a binary array', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(() => database.drop());

  it.each(Object.entries(columns))('keeps its values, nulls and order in PostgreSQL: type %s', async (type, value) => {
    const rowsOfColumn = fc.array(fc.option(value, { freq: 5 }), { minLength: 1, maxLength: 50 });
    await fc.assert(
      fc.asyncProperty(rowsOfColumn, async (values) => {
        const rows = values.map((cell) => ['before', cell, 'behind']);
        const stored = await database.query<{ cell: string | null }>(`SELECT cell::text FROM unnest($1::${type}[]) AS x(cell)`, [
          toBinaryArray(rows, 1, type as ArrayType),
        ]);
        const arrived = stored.map(({ cell }) => (cell === null ? null : read(type as ArrayType, cell)));
        expect(arrived).toEqual(values.map((cell) => (cell === undefined ? null : cell)));
      }),
      { numRuns: 40 },
    );
  });

  it('refuses a number outside the range of its type with ERR_OUT_OF_RANGE, an error of the data', () => {
    expect(() => toBinaryArray([[2 ** 31]], 0, 'int')).toThrow(expect.objectContaining({ code: 'ERR_OUT_OF_RANGE' }));
  });
});

function read(type: ArrayType, cell: string): unknown {
  if (type === 'boolean') return cell === 'true';
  return type === 'int' || type === 'smallint' || type === 'float8' ? Number(cell) : cell;
}
