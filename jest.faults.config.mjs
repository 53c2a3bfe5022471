import base, { patience } from './jest.config.mjs';

// Tests that kill, stop and cut off processes and servers. They take long, and so are not part of
// `npm test`.
/** @type {import('jest').Config} */
export default {
  ...base,
  testMatch: ['<rootDir>/test/faults/**/*.spec.ts'],
  testPathIgnorePatterns: ['/node_modules/'],
  // Each test boots several processes; on a loaded machine that alone takes most of a minute.
  testTimeout: 180_000 * patience,
};
