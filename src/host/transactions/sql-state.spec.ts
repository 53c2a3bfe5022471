import { expect, it } from '@jest/globals';

import { sqlStateOf } from './sql-state.js';

const withCode = (code: string, cause?: unknown): Error => Object.assign(new Error(code, { cause }), { code });

it.each(['STALE', 'EPIPE'])('a SQLSTATE is found behind an error with the code %s', (code) => {
  expect(sqlStateOf(withCode(code, withCode('40001')))).toBe('40001');
  expect(sqlStateOf(withCode(code))).toBeUndefined();
});

it.each(['40P01', '25006', 'XX000', 'HV00A', 'P0001'])('%s is a SQLSTATE', (code) => expect(sqlStateOf(withCode(code))).toBe(code));
