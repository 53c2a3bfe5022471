import base from './jest.config.mjs';

// Tests that run on other servers and under other settings. `npm run test:matrix` chooses them.
/** @type {import('jest').Config} */
export default {
  ...base,
  testMatch: ['<rootDir>/test/matrix/**/*.spec.ts'],
  testPathIgnorePatterns: ['/node_modules/'],
};
