import base from './jest.config.mjs';

// Runs tests with a real browser and a real reverse proxy. Skips tests whose browser or proxy is
// not installed.
/** @type {import('jest').Config} */
export default {
  ...base,
  testMatch: ['<rootDir>/test/browser/**/*.spec.ts'],
  testPathIgnorePatterns: ['/node_modules/'],
};
