// Counts the statements of the World that write or read a run, and kills the process at one of
// them: KILL_AT is `7:before` the statement is sent, or `7:after` the server has executed it.
import { createRequire } from 'node:module';

const { Client } = createRequire(process.env.WORKFLOW_TARGET_WORLD)('pg');
const [at, when] = (process.env.KILL_AT ?? '').split(':');
// How often these are executed depends on time.
const background = new Set([
  'world_claim_messages',
  'world_find_lost_runs',
  'world_extend_lease',
  'world_get_run_all',
  'world_get_run_none',
]);
const kill = () => process.kill(process.pid, 'SIGKILL');
const { query } = Client.prototype;

export const statements = { count: 0 };

Client.prototype.query = function (config, ...rest) {
  const isCounted = config?.name?.startsWith('world_') && !background.has(config.name);
  if (!isCounted || ++statements.count !== Number(at)) return query.call(this, config, ...rest);
  if (when === 'before') {
    kill();
    return new Promise(() => undefined);
  }
  const callback = rest.findIndex((each) => typeof each === 'function');
  if (callback >= 0) return query.call(this, config, ...rest.map((each, index) => (index === callback ? kill : each)));
  return query.call(this, config, ...rest).then(kill);
};
