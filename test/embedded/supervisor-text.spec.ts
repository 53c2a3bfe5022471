import { describe, expect, it } from '@jest/globals';
import { clusterOf } from '../../src/embedded/supervisor-cluster.js';
import { supervise } from '../../src/embedded/supervisor-main.js';

describe('the supervisor, which runs in another process from its text', () => {
  it.each([clusterOf, supervise])('has no inner function that a bundler would wrap in a helper (%p)', (part) => {
    const inner = String(part).replace(/^function \w+/, '');

    expect(inner).not.toMatch(/\bfunction\b|\bclass\b/);
    // const name = () => ..., name: () => ...
    expect(inner).not.toMatch(/\b(?:const|let)\s+\w+\s*=\s*(?:async\s*)?(?:\([^()]*\)|\w+)\s*=>/);
    expect(inner).not.toMatch(/\w+\s*:\s*(?:async\s*)?(?:\([^()]*\)|\w+)\s*=>/);
  });

  it.each([clusterOf, supervise])('uses no import of its module (%p)', (part) => {
    // Imports in compiled CommonJS: _nodefs.readFileSync, node_fs_1.readFileSync.
    expect(String(part)).not.toMatch(/\b_[a-z]\w*\.|\b\w+_1\./);
    expect(String(part)).not.toMatch(/\bimport\b|\brequire\b/);
  });
});
