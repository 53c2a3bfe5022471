import { InvalidInputError } from '../../core/errors/index.js';
import { mayBeEscaped, plainStepKey } from '../../core/step-key-text.js';
import type { Database } from '../../store/database.js';
import { hasStep, listEscapedKeys, listNearKeys } from '../../store/sql/step-keys.js';

/** How many keys an error names. */
const NEAR = 5;

/** Ends the name in a step key: what follows is a key of the application, or a count. */
const NAME_END = /[:#%]/;

/**
 * The key under which a run has recorded the step that a caller names, by its stored key or by its name
 * and key as the application wrote them. Undefined when there is no such step.
 *
 * @throws InvalidInputError when several steps can be meant
 */
export async function findStepKey(database: Database, runId: string, given: string, argument: string): Promise<string | undefined> {
  if (await hasStep(database, runId, given)) return given;
  if (!mayBeEscaped(given)) return undefined;
  const wanted = [given, plainStepKey(given)];
  const meant = (await listEscapedKeys(database, runId)).filter((key) => wanted.includes(plainStepKey(key)));
  if (meant.length > 1) throw new InvalidInputError(argument, `may mean several steps of the run: ${quoted(meant.slice(0, NEAR))}`);
  return meant[0];
}

/**
 * The key under which a run has recorded the step that a caller names.
 *
 * @throws InvalidInputError with keys that the run has, when it has not recorded the step
 */
export async function recordedStepKey(database: Database, runId: string, given: string, argument: string): Promise<string> {
  const key = await findStepKey(database, runId, given, argument);
  if (key !== undefined) return key;
  const end = given.search(NAME_END);
  const near = await listNearKeys(database, runId, end > 0 ? given.slice(0, end) : given, NEAR);
  const hint = near.length === 0 ? 'it has recorded none' : `it has recorded ${quoted(near)}`;
  throw new InvalidInputError(argument, `names no recorded step of the run: "${given}"; ${hint}`);
}

function quoted(keys: readonly string[]): string {
  return keys.map((key) => `"${key}"`).join(', ');
}
