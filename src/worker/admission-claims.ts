import { performance } from 'node:perf_hooks';

import { ANY_VERSION, type ClaimKey } from '../core/run.js';
import { tracer } from '../core/tracing.js';
import type { AdmissionClaim, AdmissionClaimant } from '../store/admissions.js';
import type { Database } from '../store/database.js';
import type { SessionFence } from '../store/session-fence.js';
import type { Claim, ClaimedRun } from '../store/sql/claim-runs.js';
import type { Slots } from './slots.js';

/** Functions of the worker that these claims use. */
export interface AdmissionClaimsPort {
  /** Returns the session for a claim; undefined while the worker makes no such claim. */
  readonly fence: () => SessionFence | undefined;
  /** Returns the room that no claim of due runs may take. */
  readonly room: () => number;
  readonly begin: (claimed: readonly ClaimedRun[], fence: SessionFence, sentAt: number) => Promise<void>;
  readonly failed: (error: unknown) => void;
}

/**
 * Claims runs of limited queues in the statement that admits them. Otherwise a place that is free
 * again would wait for two commits, one of the admission and one of the claim.
 */
export class AdmissionClaims implements AdmissionClaimant {
  private readonly inFlight = new Set<{ readonly since: number; readonly settled: Promise<void> }>();

  constructor(
    private readonly database: Database,
    private readonly slots: Slots,
    private readonly keys: readonly ClaimKey[],
    private readonly deploymentId: string,
    private readonly port: AdmissionClaimsPort,
  ) {}

  /** Start time of the oldest claim in flight, by performance.now(); infinity without a claim. */
  get since(): number {
    return Math.min(Number.POSITIVE_INFINITY, ...[...this.inFlight].map(({ since }) => since));
  }

  /** Resolves when no claim is in flight. */
  async settled(): Promise<void> {
    await Promise.all([...this.inFlight].map(({ settled }) => settled));
  }

  prepare(queue: string): AdmissionClaim | undefined {
    const fence = this.port.fence();
    // A limit for each worker needs a count of the runs that this worker has.
    if (!fence || this.database.queues.perWorkerOf(queue) !== null) return undefined;
    const keys = this.keys.filter((key) => key.queue === queue && key.version !== ANY_VERSION);
    const limit = Math.ceil(this.port.room() / 2);
    if (keys.length === 0 || limit <= 0) return undefined;
    return this.reserved({ fence, keys, deploymentId: this.deploymentId, limit });
  }

  /** Reserves room for as many runs as the claim may return. */
  private reserved(claim: Claim): AdmissionClaim {
    const since = performance.now();
    const claimedAt = tracer ? Date.now() : 0;
    let settle = (): void => undefined;
    const settled = new Promise<void>((resolve) => (settle = resolve));
    const entry = { since, settled };
    this.inFlight.add(entry);
    this.slots.admit(claim.limit);
    return {
      claim,
      end: (claimed) => {
        this.inFlight.delete(entry);
        if (claimed.length > 0) this.port.begin(claimed, claim.fence, since).catch(this.port.failed);
        this.slots.dismiss(claim.limit);
        settle();
        tracer?.claimed(claimed, claimedAt);
      },
    };
  }
}
