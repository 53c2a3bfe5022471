import { createHash } from 'node:crypto';

/** Maximum length of a run's id. */
const MAX_LENGTH = 255;

/**
 * Returns the id of the run that an event starts. The id depends only on the event and the
 * subscription, so the same event starts one run, however often it is dispatched. Colons inside of
 * a part are escaped, so that different events never share a run.
 */
export function eventRunId(workflow: string, event: { readonly name: string; readonly id: string }, subscription: string): string {
  const parts = [workflow, event.name, event.id, ...(subscription === '' ? [] : [subscription])];
  const text = parts.map(escaped).join(':');
  return text.length <= MAX_LENGTH ? text : createHash('sha256').update(text).digest('hex');
}

function escaped(part: string): string {
  return part.replaceAll('%', '%25').replaceAll(':', '%3A');
}
