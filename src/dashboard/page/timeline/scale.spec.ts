import { expect, it } from '@jest/globals';

import type { TimelineRow } from './rows.js';
import { scaleOf } from './scale.js';

const row = (kind: TimelineRow['kind'], from: number, to: number | undefined): TimelineRow => ({
  key: `${kind}-${from}`,
  kind,
  operation: kind,
  state: to === undefined ? 'open' : 'completed',
  from,
  to,
  attempts: 1,
  failures: [],
  childRunId: undefined,
  step: undefined,
});

it('shortens a wait of days, so that steps of milliseconds stay visible', () => {
  const DAY = 86_400_000;
  const rows = [row('step', 0, 100), row('wait', 100, 3 * DAY), row('step', 3 * DAY, 3 * DAY + 100)];
  const { place, cuts } = scaleOf(rows, 0, 3 * DAY + 100, 'long waits');
  expect(cuts).toEqual([{ from: 100, to: 3 * DAY }]);
  expect(place(100)).toBeCloseTo(0.47, 2);
  expect(place(3 * DAY)).toBeCloseTo(0.53, 2);
  expect(place(3 * DAY + 100)).toBe(1);
  expect(scaleOf(rows, 0, 3 * DAY + 100, 'nothing').place(3 * DAY)).toBeCloseTo(1, 3);
});

it('keeps the order of times, whatever the rows are', () => {
  const rows = [row('wait', 0, undefined), row('step', 50, 60), row('child', 55, 5_000), row('step', 9_000, 9_001)];
  const { place, ticks } = scaleOf(rows, 0, 10_000, 'long waits');
  const places = Array.from({ length: 101 }, (_, index) => place(index * 100));
  expect([...places].sort((a, b) => a - b)).toEqual(places);
  expect(places[0]).toBe(0);
  expect(places.at(-1)).toBe(1);
  expect(ticks.length).toBeLessThanOrEqual(12);
});

it('draws a run without steps, and one of no length', () => {
  expect(scaleOf([], 5, 5, 'long waits').place(5)).toBe(0);
  expect(scaleOf([row('wait', 0, undefined)], 0, 1_000, 'long waits').cuts).toEqual([]);
});
