/**
 * Test kit: applications in virtual time (`WorkflowTest`), runs in memory (`runInMemory`), replays
 * of recorded runs (`replayHistory`), and an emulator of QStash.
 *
 * @module
 */
export { QStashEmulator, type QStashEnvironment, type QStashSignOptions } from './qstash/emulator.js';
export type { QStashFaults } from './qstash/faults.js';
export type { QStashStats } from './qstash/delivery-stats.js';
export type { QStashLimits } from './qstash/limits.js';
export type { QStashDeliveryOutcome, QStashDeliveryRecord, QStashMessageRecord, QStashMessageState } from './qstash/message.js';
export type { QStashEmulatorOptions } from './qstash/options.js';
export { WorkflowTest } from './workflow-test.js';
export type { TestedApplication, TestedModuleBuilder, TestedRun, WorkflowTestOptions } from './workflow-test.js';
export type { ClassOf, FakedStep, StepArguments, StepFake, StepName } from './fake-steps.js';
export { WorkflowTestError } from './errors.js';
export { happened, runInMemory, sent } from './memory/run-in-memory.js';
export type { FakedBodies, HappenedEvent, InMemoryOptions, InMemoryRun, SentSignal } from './memory/run-in-memory.js';
export { replayHistory, type ReplayHistoryOptions } from './replay-history.js';
export type { StandaloneProviders } from '../nest/standalone-workflows.js';
