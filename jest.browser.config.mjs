import base from './jest.config.mjs';

// Tests with a real browser and a real reverse proxy. What is not installed is skipped.
/** @type {import('jest').Config} */
export default {
  ...base,
  testMatch: ['<rootDir>/test/browser/**/*.spec.ts'],
  testPathIgnorePatterns: ['/node_modules/'],
};
