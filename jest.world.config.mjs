import base, { patience } from './jest.config.mjs';

// Tests of the World with the real Workflow DevKit, which `.ci/test-world.mjs` installs outside of
// the tree.
/** @type {import('jest').Config} */
export default {
  ...base,
  testMatch: ['<rootDir>/test/world/**/*.spec.ts'],
  // The kit ships ES modules only.
  transformIgnorePatterns: ['/node_modules/(?!@nestjs/|@workflow/)'],
  testPathIgnorePatterns: ['/node_modules/', '<rootDir>/test/world/apps/'],
  // The kit's own tests start a process each, twelve times.
  testTimeout: 300_000 * patience,
};
