import { expect, it } from '@jest/globals';

import { segment, shortened } from '../../../src/dashboard/page/api.js';
import { decodedSegment, takePart } from '../../../src/dashboard/api/segments.js';

it('sends any text as one part of a path that no proxy and no browser changes', () => {
  for (const text of ['order-7', 'a/b', '..', '.', '~a', '%2F', 'a b?#;', 'ß\u202e😀', '\\', 'x'.repeat(255)]) {
    const part = segment(text);
    expect(part).toMatch(/^~?[\w.:@-]+$/);
    expect(new URL(`runs/${part}/cancel`, 'http://a/').pathname).toBe(`/runs/${part}/cancel`);
    expect(decodedSegment(part, 'runId')).toBe(text);
  }
});

it('refuses a part that is not base64url', () => {
  for (const part of ['~', '~a', '~a+b', '~YS9i=', '~_w']) expect(() => decodedSegment(part, 'runId')).toThrow('base64url');
});

it('moves long parts of a path into the query', () => {
  const long = segment(`${'é'.repeat(200)}/x`);
  const path = shortened(`runs/${long}/streams/${long}?from=-5&limit=2`);
  const { pathname, searchParams } = new URL(path, 'http://a/');
  expect(pathname).toBe('/runs/~/streams/~');
  const parts = pathname.slice(1).split('/');
  expect(parts.map((part, place) => takePart(part, place, searchParams))).toEqual(['runs', long, 'streams', long]);
  expect(searchParams.toString()).toBe('from=-5&limit=2');
  expect(shortened('runs/order-7?limit=2')).toBe('runs/order-7?limit=2');
  expect(takePart('~', 1, searchParams)).toBe('~');
});
