import type { RunEventName } from '../core/run-events.js';
import type { Transition } from '../core/transition.js';
import type { FlushRows } from './flush-columns.js';
import type { ListenedEvents } from './listened-events.js';

type EventRows = Pick<FlushRows, 'runEvents' | 'stepEvents'>;

/** Rows of a flush that records no events. */
const NO_EVENTS: EventRows = { runEvents: [], stepEvents: [] };

/**
 * Builds the rows that make a flush record run events. The rows only name the events. The statement
 * reads everything else from the rows that it changes, so it records no event of a change that it
 * does not make.
 */
export function eventsOf(transitions: readonly Transition[], listened: ListenedEvents | undefined): EventRows {
  if (!listened?.isAny) return NO_EVENTS;
  const events = new Set<RunEventName>();
  for (const transition of transitions) {
    const event = eventOf(transition);
    if (event !== undefined && listened.has(event)) events.add(event);
  }
  const rows = [...events].map((event) => [event] as const);
  return { runEvents: rows.filter(([event]) => event !== 'step.failed'), stepEvents: rows.filter(([event]) => event === 'step.failed') };
}

function eventOf(transition: Transition): RunEventName | undefined {
  if (transition.kind === 'step') {
    const { kind, status } = transition.step;
    return kind === 'step' && status === 'failed' ? 'step.failed' : undefined;
  }
  if (transition.kind !== 'change') return undefined;
  const { change } = transition;
  if ('blockedFor' in change) return 'run.blocked';
  // A run that continues as another one has not ended for its caller.
  return 'output' in change && change.continuedAs === undefined ? `run.${change.status}` : undefined;
}
