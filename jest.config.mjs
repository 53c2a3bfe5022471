import { swcOptions } from './test/support/swc-options.mjs';

// Machines of CI can be several times slower than a developer's. Workers inherit the variable.
process.env.DURABLE_TEST_PATIENCE ??= process.env.CI ? '4' : '1';
export const patience = Number(process.env.DURABLE_TEST_PATIENCE);

// One leg, in CommonJS, without a Node flag. Specs stay valid in ESM too (imports from
// '@jest/globals', no hoisted jest.mock), so that a second leg with --experimental-vm-modules needs
// only extensionsToTreatAsEsm here.
/** @type {import('jest').Config} */
export default {
  testEnvironment: 'node',
  testMatch: ['<rootDir>/src/**/*.spec.ts', '<rootDir>/test/**/*.spec.ts', '<rootDir>/sample/**/*.spec.ts', '!<rootDir>/test/packages/**'],
  testPathIgnorePatterns: [
    '/node_modules/',
    '<rootDir>/test/bench/',
    '<rootDir>/test/browser/',
    '<rootDir>/test/chaos/',
    '<rootDir>/test/conformance/',
    '<rootDir>/test/faults/',
    '<rootDir>/test/integration/',
    '<rootDir>/test/matrix/',
    '<rootDir>/test/qstash/',
    '<rootDir>/test/world/',
  ],
  modulePathIgnorePatterns: ['<rootDir>/dist/', '<rootDir>/test/packages/'],
  transform: { '^.+\\.(ts|mjs|js)$': ['@swc/jest', swcOptions] },
  // Nest 12 ships ES modules only, which Jest cannot require below Node 24.9.
  transformIgnorePatterns: ['/node_modules/(?!@nestjs/)'],
  moduleNameMapper: {
    '^(\\.{1,2}/.*)\\.js$': '$1',
    '^nestjs-durable$': '<rootDir>/src/index.ts',
    '^nestjs-durable/testing$': '<rootDir>/src/testing/index.ts',
    '^nestjs-durable/eslint$': '<rootDir>/src/eslint/index.ts',
    '^nestjs-durable/world$': '<rootDir>/src/world/index.ts',
  },
  globalSetup: '<rootDir>/test/support/global-setup.mjs',
  globalTeardown: '<rootDir>/test/support/global-teardown.mjs',
  testTimeout: 120_000 * patience,
  // Most tests wait for something most of the time: more workers than processors.
  maxWorkers: 6,
};
