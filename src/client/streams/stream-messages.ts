import { InvalidInputError } from '../../core/errors/index.js';
import { toPlainJson } from './plain-json.js';
import type { StreamEvent } from './stream-event.js';
import type { StreamMessage } from './stream-message.js';

/**
 * Id of the last event of a stream. A browser that connects again with this id has seen the end,
 * and a browser with the id of the last chunk has not.
 */
const END_SUFFIX = '-end';

/** Place at which a browser continues, and whether it has seen the end of the stream. */
export interface EventPlace {
  readonly from: number;
  readonly seen: 'end' | 'chunks';
}

/**
 * Reads the header `Last-Event-ID`.
 *
 * @throws InvalidInputError when no stream has events with such an id
 */
export function placeOfEventId(id: unknown, argument: string): EventPlace {
  if (id === undefined || id === '') return { from: 0, seen: 'chunks' };
  const [, digits, end] = (typeof id === 'string' && /^(\d{1,15})(-end)?$/.exec(id)) || [];
  if (digits === undefined) throw new InvalidInputError(argument, 'must be the id of an event of this stream');
  return end === undefined ? { from: Number(digits) + 1, seen: 'chunks' } : { from: Number(digits), seen: 'end' };
}

/** Converts an event of a stream to a server-sent event. */
export function toMessage(event: StreamEvent): StreamMessage {
  switch (event.type) {
    case 'chunk':
      return { id: String(event.index), data: toPlainJson(event.value) };
    case 'reset':
      return { id: String(event.index), type: 'reset', data: JSON.stringify({ from: event.from }) };
    case 'end':
      return { id: `${event.index}${END_SUFFIX}`, type: 'end', data: JSON.stringify({ state: event.state }) };
  }
}
