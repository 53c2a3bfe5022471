import base from './jest.config.mjs';

// Tests that boot applications. `npm test` leaves them out, so that it ends within three minutes.
/** @type {import('jest').Config} */
export default {
  ...base,
  testMatch: ['conformance', 'integration', 'qstash'].map((folder) => `<rootDir>/test/${folder}/**/*.spec.ts`),
  testPathIgnorePatterns: ['/node_modules/'],
};
