import { expect, it } from '@jest/globals';

import { etagOf, isCached } from './etag.js';

it('recognises a tag alone, weak, in a list, and as an asterisk', () => {
  const tag = etagOf('body');
  for (const header of [tag, `W/${tag}`, `"a,b", W/${tag}`, `"other" ,${tag}`, '*', ' * ']) expect(isCached(header, tag)).toBe(true);
  for (const header of [undefined, '', '"other"', tag.slice(1, -1), `W/"other"`]) expect(isCached(header, tag)).toBe(false);
});

it('gives different bodies different tags', () => {
  expect(etagOf('a')).not.toBe(etagOf('b'));
});
