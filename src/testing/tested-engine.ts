import type { ManualClock } from '../core/manual-clock.js';
import { sleep } from '../core/timers.js';
import type { EngineSettings, ReplayVerifier } from '../engine/ports.js';
import { verifyReplay } from '../engine/verify-replay.js';

/** Milliseconds of real time that a replay waits for a recorded call. */
const REPLAY_STALL_MS = 2_000;

/** Milliseconds between the end of a run and its replay. */
const BEFORE_REPLAY_MS = 2;

/**
 * Replays a run a moment after its end, so that code that reads the clock reads another time in the
 * replay.
 */
const verifyLater: ReplayVerifier = async (recording, settings) => {
  await sleep(BEFORE_REPLAY_MS);
  return verifyReplay(recording, settings);
};

/** Settings of the engine that the test kit replaces. */
export type TestedEngine = Pick<EngineSettings, 'manualClock' | 'replayStallMs' | 'verifyReplay' | 'isDevelopment'>;

/** Returns the engine settings of code under test. */
export function testedEngine(manualClock: ManualClock, verifies: 'verifies' | 'trusts'): TestedEngine {
  const verifier = verifies === 'verifies' ? verifyLater : undefined;
  return { manualClock, replayStallMs: REPLAY_STALL_MS, verifyReplay: verifier, isDevelopment: true };
}
