import { describe, expect, it } from '@jest/globals';

import { eventRunId } from './event-run-id.js';

describe('the id of a run that an event starts', () => {
  it('joins workflow, event and subscription', () => {
    expect(eventRunId('receipt', { name: 'order.paid', id: '7' }, '')).toBe('receipt:order.paid:7');
    expect(eventRunId('receipt', { name: 'order.paid', id: '7' }, 'eu')).toBe('receipt:order.paid:7:eu');
  });

  type Event = [event: { name: string; id: string }, subscription: string];
  it.each<[what: string, one: Event, other: Event]>([
    ['the name and the id of the event', [{ name: 'order:paid', id: '7' }, ''], [{ name: 'order', id: 'paid:7' }, '']],
    ['the id and the subscription', [{ name: 'order', id: '7' }, 'eu'], [{ name: 'order', id: '7:eu' }, '']],
    ['an escaped and a written colon', [{ name: 'order', id: 'a:b' }, ''], [{ name: 'order', id: 'a%3Ab' }, '']],
  ])('differs when a colon moves between %s', (_, one, other) => {
    expect(eventRunId('receipt', ...one)).not.toBe(eventRunId('receipt', ...other));
  });

  it('is a hash when it would be too long', () => {
    const long = 'x'.repeat(300);
    expect(eventRunId('receipt', { name: 'order', id: long }, '')).toMatch(/^[0-9a-f]{64}$/);
    expect(eventRunId('receipt', { name: 'order', id: long }, 'eu')).not.toBe(eventRunId('receipt', { name: 'order', id: long }, ''));
  });
});
