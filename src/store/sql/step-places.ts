import type { Database, Statement } from '../database.js';

const TAKE: Statement = {
  name: 'durable_take_step_places',
  text: (schema, lockTimeout) =>
    `SELECT ord, opens_ms, is_held FROM ${schema}.workflow_take_places($1, $2::bigint, $3::text[], $4::text[], $5::text[], $6)${
      lockTimeout && ` WHERE true${lockTimeout}`
    }`,
};

/** A step that wants a place of a limit. */
export interface PlacedStep {
  readonly runId: string;
  readonly stepKey: string;
  readonly queueKey: string;
}

/** Permission of a step to begin. */
export interface GivenPlace {
  /** Place of the step in the list of the request. */
  readonly index: number;
  /**
   * Time at which the slot of the rate limit opens, in milliseconds since the epoch by the
   * database's clock; undefined without a rate limit.
   */
  readonly opensAt: number | undefined;
  /** True when the place must be given back. */
  readonly isHeld: boolean;
}

/** Steps that may begin. */
export interface GivenPlaces {
  readonly given: readonly GivenPlace[];
  /**
   * Time at which a rate limit allows more, in milliseconds since the epoch; undefined without one.
   */
  readonly moreAt: number | undefined;
  /** True when a place that comes back can help. */
  readonly needsPlace: boolean;
}

/**
 * Takes places and slots of a limit for steps of a session, in their order. A step whose key has no
 * place is left out.
 *
 * @param aheadMs how long before its slot of a rate limit a step gets the slot
 */
export async function takeStepPlaces(
  database: Database,
  { limit, sessionId, aheadMs }: { readonly limit: string; readonly sessionId: string; readonly aheadMs: number },
  steps: readonly PlacedStep[],
): Promise<GivenPlaces> {
  const columns = [steps.map(({ queueKey }) => queueKey), steps.map(({ runId }) => runId), steps.map(({ stepKey }) => stepKey)];
  const rows = await database.query<[number | null, number | null, boolean]>(TAKE, [limit, sessionId, ...columns, aheadMs]);
  const given: GivenPlace[] = [];
  let moreAt: number | undefined;
  let needsPlace = true;
  for (const [ord, opensMs, isHeld] of rows) {
    if (ord === null) {
      moreAt = opensMs ?? undefined;
      needsPlace = isHeld;
    } else given.push({ index: ord - 1, opensAt: opensMs ?? undefined, isHeld });
  }
  return { given, moreAt, needsPlace };
}

const RELEASE: Statement = {
  name: 'durable_release_step_places',
  text: (schema, lockTimeout) =>
    `DELETE FROM ${schema}.workflow_step_places p USING unnest($1::text[], $2::text[]) AS x(run_id, step_key)
WHERE p.run_id = ANY (ARRAY[x.run_id]) AND p.step_key = ANY (ARRAY[x.step_key]) AND p.session_id = $3::bigint${lockTimeout}`,
};

/** Gives the places of steps back. */
export async function releaseStepPlaces(database: Database, sessionId: string, steps: readonly PlacedStep[]): Promise<void> {
  await database.query(RELEASE, [steps.map(({ runId }) => runId), steps.map(({ stepKey }) => stepKey), sessionId]);
}
