import { describe, expect, it } from '@jest/globals';

import { OrphanedClaims } from './orphaned-claims.js';

const NO_CLAIM = Number.POSITIVE_INFINITY;
const run = (id: string, epoch = 1) => ({ id, epoch });

describe('OrphanedClaims', () => {
  it('reports a run as lost when two checks in a row miss it, and not before', () => {
    const orphanedClaims = new OrphanedClaims();
    expect(orphanedClaims.lost([run('a')], NO_CLAIM)).toEqual([]);
    expect(orphanedClaims.lost([run('a'), run('b')], NO_CLAIM)).toEqual([run('a')]);
    expect(orphanedClaims.lost([run('b')], NO_CLAIM)).toEqual([run('b')]);
  });

  it('does not report a run that was in memory between two checks, or was claimed again', () => {
    const orphanedClaims = new OrphanedClaims();
    orphanedClaims.lost([run('a'), run('b', 1)], NO_CLAIM);
    expect(orphanedClaims.lost([run('b', 2)], NO_CLAIM)).toEqual([]);
    expect(orphanedClaims.lost([run('a'), run('b', 2)], NO_CLAIM)).toEqual([run('b', 2)]);
  });

  it('does not report a run while a claim is in flight that may have taken it', () => {
    const orphanedClaims = new OrphanedClaims();
    const began = performance.now();
    for (let checks = 0; checks < 5; checks++) expect(orphanedClaims.lost([run('a')], began)).toEqual([]);
    expect(orphanedClaims.lost([run('a')], NO_CLAIM)).toEqual([run('a')]);
  });

  it('reports a lost run even while a claim is in flight that began after the first check', () => {
    const orphanedClaims = new OrphanedClaims();
    orphanedClaims.lost([run('a')], NO_CLAIM);
    expect(orphanedClaims.lost([run('a')], performance.now() + 1)).toEqual([run('a')]);
  });
});
