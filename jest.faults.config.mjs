import base from './jest.config.mjs';

// What kills, stops and cuts off processes and servers: it takes its time, and so stands beside `npm test`.
/** @type {import('jest').Config} */
export default {
  ...base,
  testMatch: ['<rootDir>/test/faults/**/*.spec.ts'],
  testPathIgnorePatterns: ['/node_modules/'],
  // Each test boots several processes; on a loaded machine that alone takes most of a minute.
  testTimeout: 180_000,
};
