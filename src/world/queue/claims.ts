import { performance } from 'node:perf_hooks';

import type { ClaimedMessage, TakenMessage } from '../store/message-store.js';
import { LEASE_SECONDS } from './lease.js';

/**
 * Milliseconds for which a claim is good without a look into the database. The first heartbeat of a
 * delivery must come before the lease ends.
 */
const FRESH_MS = (LEASE_SECONDS * 1_000) / 3;

interface Claim {
  readonly message: ClaimedMessage;
  readonly claimedAt: number;
  isTaken: boolean;
}

/**
 * Claims whose requests this process has sent, by lease. Nearly every request comes back to the
 * process that sent the request. That process has the message in memory, so no statement reads the
 * message again. All Worlds of the process share the claims, because the kit may create a second
 * World for its routes.
 */
const claims = new Map<string, Claim>();

/** Keeps a claim while its request is under way. */
export function keepClaim(message: ClaimedMessage): void {
  claims.set(message.lease, { message, claimedAt: performance.now(), isTaken: false });
}

/** Forgets a claim. Returns true when its message was taken from the memory. */
export function forgetClaim({ lease }: ClaimedMessage): boolean {
  const isTaken = claims.get(lease)?.isTaken === true;
  claims.delete(lease);
  return isTaken;
}

/**
 * Takes the message of a request that this process has sent, once.
 *
 * @returns `used` for a claim that was taken before; undefined when only the database knows whether
 *   the claim is still good
 */
export function takeClaim(id: string, lease: string): TakenMessage | 'used' | undefined {
  const claim = claims.get(lease);
  if (claim === undefined || claim.message.id !== id) return undefined;
  if (claim.isTaken) return 'used';
  if (performance.now() - claim.claimedAt > FRESH_MS) return undefined;
  claim.isTaken = true;
  return claim.message;
}
