import { describe, expect, it } from '@jest/globals';

import { OrphanedClaims } from './orphaned-claims.js';

const NO_CLAIM = Number.POSITIVE_INFINITY;
const run = (id: string, epoch = 1) => ({ id, epoch });

describe('a run that the database says is ours and that we do not have', () => {
  it('is lost when it has been seen twice, and not before', () => {
    const strays = new OrphanedClaims();
    expect(strays.lost([run('a')], NO_CLAIM)).toEqual([]);
    expect(strays.lost([run('a'), run('b')], NO_CLAIM)).toEqual([run('a')]);
    expect(strays.lost([run('b')], NO_CLAIM)).toEqual([run('b')]);
  });

  it('is not lost when we had it meanwhile, or when it has been claimed anew', () => {
    const strays = new OrphanedClaims();
    strays.lost([run('a'), run('b', 1)], NO_CLAIM);
    expect(strays.lost([run('b', 2)], NO_CLAIM)).toEqual([]);
    expect(strays.lost([run('a'), run('b', 2)], NO_CLAIM)).toEqual([run('b', 2)]);
  });

  it('is not lost while a claim is under way that may have taken it', () => {
    const strays = new OrphanedClaims();
    const began = performance.now();
    for (let looks = 0; looks < 5; looks++) expect(strays.lost([run('a')], began)).toEqual([]);
    expect(strays.lost([run('a')], NO_CLAIM)).toEqual([run('a')]);
  });

  it('is lost also while a claim is under way that began later', () => {
    const strays = new OrphanedClaims();
    strays.lost([run('a')], NO_CLAIM);
    expect(strays.lost([run('a')], performance.now() + 1)).toEqual([run('a')]);
  });
});
