import base from './jest.config.mjs';

// What runs on servers and under settings that are not ours: started by `npm run test:matrix`, which says which.
/** @type {import('jest').Config} */
export default {
  ...base,
  testMatch: ['<rootDir>/test/matrix/**/*.spec.ts'],
  testPathIgnorePatterns: ['/node_modules/'],
};
