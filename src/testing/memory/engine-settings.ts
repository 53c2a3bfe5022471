import { ClientRunStarter } from '../../client/run-starter.js';
import { HookSchemas } from '../../core/hook-schemas.js';
import type { ManualClock } from '../../core/manual-clock.js';
import type { Payloads } from '../../core/payloads.js';
import type { EngineSettings } from '../../engine/ports.js';
import { testedEngine } from '../tested-engine.js';

/** Milliseconds that a cancelled run may spend in its cleanup, as in production. */
const CANCEL_GRACE_MS = 30_000;

/** Returns the settings of an engine without a module. */
export function standaloneEngine(
  clock: ManualClock,
  payloads: Payloads,
  module: string | undefined,
  verifies: 'verifies' | 'trusts',
): EngineSettings {
  const now = (): number => clock.now();
  return {
    payloads,
    cancelGraceMs: CANCEL_GRACE_MS,
    now,
    isSure: () => true,
    isClosing: () => false,
    log: () => undefined,
    starts: new ClientRunStarter(payloads, { deploymentId: 'test', module, runTimeoutMs: null, now }),
    hookUrl: (token) => `/workflow/hooks/${token}`,
    hookSchemas: new HookSchemas(),
    ...testedEngine(clock, verifies),
  };
}
