import { describe, expect, it } from '@jest/globals';

import { transactionControls } from './transaction-control.js';

describe('statements that control a transaction', () => {
  it.each([
    ['COMMIT', [{ kind: 'commit', chain: false }]],
    ['  end work ;', [{ kind: 'commit', chain: false }]],
    ['commit and chain', [{ kind: 'commit', chain: true }]],
    ['/* all of it */ Rollback\n  Transaction -- now', [{ kind: 'rollback', chain: false }]],
    ['ABORT AND NO CHAIN', [{ kind: 'rollback', chain: false }]],
    ["PREPARE TRANSACTION 'one'", [{ kind: 'prepare', chain: false }]],
    ['START TRANSACTION ISOLATION LEVEL SERIALIZABLE', [{ kind: 'begin' }]],
    ['savepoint A', [{ kind: 'savepoint', name: 'a' }]],
    ['SAVEPOINT "A; b"', [{ kind: 'savepoint', name: 'A__b' }]],
    ['release a', [{ kind: 'release', name: 'a' }]],
    ['RELEASE SAVEPOINT "a"', [{ kind: 'release', name: 'a' }]],
    ['rollback to a', [{ kind: 'rollbackTo', name: 'a' }]],
    ['ROLLBACK WORK TO SAVEPOINT a', [{ kind: 'rollbackTo', name: 'a' }]],
    [
      "SAVEPOINT a; INSERT INTO notes VALUES ('x; COMMIT'); RELEASE a",
      [
        { kind: 'savepoint', name: 'a' },
        { kind: 'release', name: 'a' },
      ],
    ],
  ])('%j are found', (text, controls) => {
    expect(transactionControls(text)).toEqual(controls);
  });

  it.each([
    'SELECT CASE WHEN true THEN 1 END',
    "INSERT INTO notes VALUES ('; ROLLBACK; ')",
    "INSERT INTO notes VALUES (E'\\'; COMMIT; ')",
    'DO $x$ BEGIN PERFORM 1; END; $x$',
    'DO $$ BEGIN; COMMIT; END $$',
    'SELECT 1 /* ; COMMIT; */ -- ; ROLLBACK',
    'PREPARE fetch AS SELECT 1',
    'UPDATE t SET "end; COMMIT; " = $1',
  ])('%j is none', (text) => {
    expect(transactionControls(text)).toEqual([]);
  });
});
