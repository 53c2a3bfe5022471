import { expect, it } from '@jest/globals';

import { parseSearch, withCondition, withoutCondition } from './filters.js';

it('takes conditions with colons, commas and spaces apart from the rest of a search', () => {
  expect(parseSearch('order-7 tag:customer=a:b,c name:"my flow" after:2h')).toEqual({
    conditions: [
      ['tag', 'customer=a:b,c'],
      ['name', 'my flow'],
      ['createdAfter', '2h'],
    ],
    text: 'order-7',
  });
});

it('keeps words that name no condition as text, such as the id of a run', () => {
  for (const text of ['order:7', 'constructor:x', 'https://example.com/a']) expect(parseSearch(text)).toEqual({ conditions: [], text });
});

it('adds and removes one value of a condition, and leaves the page', () => {
  const first = withCondition(new URLSearchParams('name=a,b&cursor=x'), 'name', 'c');
  expect(first.getAll('name')).toEqual(['a,b', 'c']);
  expect(first.has('cursor')).toBe(false);
  expect(withCondition(first, 'createdAfter', '1h').toString()).toBe('name=a%2Cb&name=c&createdAfter=1h');
  expect(withoutCondition(first, 'name', 'a,b').toString()).toBe('name=c');
});
