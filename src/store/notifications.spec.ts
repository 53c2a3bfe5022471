import { describe, expect, it } from '@jest/globals';

import { NoticeBatch, parseNotice } from './notifications.js';

describe('parseNotice', () => {
  it('reads a payload of another process', () => {
    const batch = new NoticeBatch();
    const due = [{ queue: 'default', name: 'order', version: 2 }];
    batch.add({ due, ended: ['a'], messages: ['b', 'c'], events: true, wakeAt: 12 });
    expect(batch.take('other').map((payload) => parseNotice(payload, 'self'))).toEqual([
      { due, ended: ['a'], messages: ['b', 'c'], events: true, wakeAt: 12 },
    ]);
  });

  it('ignores a payload of this process', () => {
    expect(parseNotice('{"s":"self","e":["a"]}', 'self')).toBeUndefined();
  });

  it.each([
    ['no JSON', 'hello'],
    ['null', 'null'],
    ['a list', '[]'],
    ['a text', '"x"'],
    ['no sender', '{"e":["a"]}'],
    ['a sender that is a number', '{"s":1,"e":["a"]}'],
    ['ended runs that are a number', '{"s":"x","e":5}'],
    ['ended runs that are null', '{"s":"x","e":null}'],
    ['ended runs that are an object with a length', '{"s":"x","e":{"length":2}}'],
    ['ended runs that are a text', '{"s":"x","e":"abc"}'],
    ['ended runs with a number among them', '{"s":"x","e":["a",1]}'],
    ['ended runs with an empty id', '{"s":"x","e":[""]}'],
    ['an id that is too long', JSON.stringify({ s: 'x', e: ['a'.repeat(256)] })],
    ['messages that are an object with a length', '{"s":"x","m":{"length":3}}'],
    ['messages with a list among them', '{"s":"x","m":[["a"]]}'],
    ['due keys that are not lists', '{"s":"x","d":["default"]}'],
    ['due keys that are too short', '{"s":"x","d":[["default","order"]]}'],
    ['due keys whose version is a text', '{"s":"x","d":[["default","order","1"]]}'],
    ['due keys that are null', '{"s":"x","d":[null]}'],
    ['a wake time that is a text', '{"s":"x","w":"1"}'],
    ['a wake time that is null', '{"s":"x","w":null}'],
    ['a wake time beyond all dates', '{"s":"x","w":-1e308}'],
  ])('ignores %s', (_what, payload) => {
    expect(parseNotice(payload, 'self')).toBeUndefined();
  });
});
