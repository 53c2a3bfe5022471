import { setTimeout as sleep } from 'node:timers/promises';

import type { AgentEvent } from './agent-event.js';

/** Receives what a browser would receive. */
export interface ReaderEvents {
  chunk(value: AgentEvent): void;
  reset(): void;
}

/**
 * Reads a stream as a browser's EventSource does: connects again when the connection breaks, and
 * continues after the last event.
 *
 * @returns the state in which the stream has ended
 */
export async function follow(url: string, cookie: string, events: ReaderEvents): Promise<string> {
  let lastEventId = '';
  for (const giveUpAt = Date.now() + 120_000; Date.now() < giveUpAt; await sleep(200)) {
    try {
      const headers = { accept: 'text/event-stream', cookie, 'last-event-id': lastEventId };
      const response = await fetch(url, { headers });
      if (response.status !== 200) throw new Error(`The stream was refused with status ${response.status}`);
      for await (const { id, type, data } of eventsOf(response.body!)) {
        lastEventId = id || lastEventId;
        if (type === 'end') return (JSON.parse(data) as { state: string }).state;
        if (type === 'reset') events.reset();
        else if (type === 'message') events.chunk(JSON.parse(data) as AgentEvent);
      }
    } catch (error) {
      // fetch throws a TypeError when the connection breaks or cannot be made.
      if (!(error instanceof TypeError)) throw error;
    }
  }
  throw new Error('The stream did not end within two minutes');
}

/** Parses server-sent events. */
async function* eventsOf(body: AsyncIterable<Uint8Array>): AsyncGenerator<{ id: string; type: string; data: string }> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const part of body) {
    const blocks = (rest + decoder.decode(part, { stream: true })).split('\n\n');
    rest = blocks.pop()!;
    for (const block of blocks) {
      const field = (name: string): string | undefined => new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1];
      const data = field('data');
      if (data !== undefined) yield { id: field('id') ?? '', type: field('event') ?? 'message', data };
    }
  }
}
