import { InvalidInputError } from '../../core/errors/index.js';
import { beginningOf, mayBeEscaped, plainStepKey } from '../../core/step-key-format.js';
import type { Database } from '../../store/database.js';
import { hasStep, listEscapedKeys, listNearKeys } from '../../store/sql/step-keys.js';

/** Maximum number of similar keys that an error lists. */
const MAX_SIMILAR = 5;

/**
 * Finds the key under which a run has recorded a step. Accepts the recorded key, or the name and
 * key as the application wrote them.
 *
 * @returns undefined when the run has not recorded the step
 * @throws InvalidInputError when several steps match
 */
export async function findStepKey(database: Database, runId: string, given: string, argument: string): Promise<string | undefined> {
  if (await hasStep(database, runId, given)) return given;
  if (!mayBeEscaped(given)) return undefined;
  const wanted = [given, plainStepKey(given)];
  const meant = (await listEscapedKeys(database, runId)).filter((key) => wanted.includes(plainStepKey(key)));
  if (meant.length > 1) throw new InvalidInputError(argument, `matches several steps of the run: ${quoted(meant.slice(0, MAX_SIMILAR))}`);
  return meant[0];
}

/**
 * Returns the key under which a run has recorded a step.
 *
 * @throws InvalidInputError when the run has not recorded the step; the error lists similar keys
 */
export async function recordedStepKey(database: Database, runId: string, given: string, argument: string): Promise<string> {
  const key = await findStepKey(database, runId, given, argument);
  if (key !== undefined) return key;
  const similar = await listNearKeys(database, runId, beginningOf(given), MAX_SIMILAR);
  const hint = similar.length === 0 ? 'it has recorded no similar step' : `it has recorded ${quoted(similar)}`;
  throw new InvalidInputError(argument, `names no recorded step of the run: "${given}"; ${hint}`);
}

function quoted(keys: readonly string[]): string {
  return keys.map((key) => `"${key}"`).join(', ');
}
