import { expect, it } from '@jest/globals';

import { filterOf } from './parameters.js';

const NOW = Date.parse('2026-03-01T12:00:00Z');
const filter = (query: string): unknown => filterOf(new URLSearchParams(query), NOW, ['limit']);

it('reads every parameter, with commas and equals signs in values', () => {
  expect(
    filter(
      'name=a,b&name=c&version=2&status=failed&queue=q&tag=k%3Da%3Db,c&errorCode=E&failedStep=s&parentRunId=p&schedule=d&blocked=false&limit=5',
    ),
  ).toEqual({
    name: ['a,b', 'c'],
    version: [2],
    status: ['failed'],
    queue: ['q'],
    tags: { k: 'a=b,c' },
    errorCode: ['E'],
    failedStep: ['s'],
    parentRunId: 'p',
    schedule: 'd',
    blocked: false,
  });
});

it('reads times as ISO 8601, and as durations before now', () => {
  expect(filter('createdAfter=2h&createdBefore=2026-03-01T11:59Z')).toEqual({
    createdAfter: new Date(NOW - 7_200_000),
    createdBefore: new Date(NOW - 60_000),
  });
});

it.each([
  'createdAfter=2months',
  'createdAfter=2mo',
  'createdAfter=',
  'createdAfter=-2h',
  'createdAfter=2026-99-01',
  'finishedBefore=yesterday',
])('refuses the time %s', (query) => expect(() => filter(query)).toThrow(/must be a time such as/));

it.each([
  ['nmae=order', 'nmae'],
  ['version=1.5', 'version'],
  ['tag=customer', 'tag'],
  ['tag=a%3D1&tag=a%3D2', 'tag'],
  ['blocked=yes', 'blocked'],
])('refuses %s', (query, name) => expect(() => filter(query)).toThrow(new RegExp(`^${name}|"${name}"|${name}`)));
