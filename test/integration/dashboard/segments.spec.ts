import { expect, it } from '@jest/globals';

import { segment } from '../../../src/dashboard/page/api.js';
import { decodedSegment } from '../../../src/dashboard/api/segments.js';

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
