/**
 * Builds SQL for the schedule and the due time of a run, as JSON; NULL when no schedule started the
 * run.
 */
export function scheduledForSql(alias: string): string {
  return `CASE WHEN ${alias}.schedule IS NOT NULL THEN json_build_object('name', ${alias}.schedule, 'dueAt', extract(epoch FROM ${alias}.due_at)::float8 * 1000) END`;
}
