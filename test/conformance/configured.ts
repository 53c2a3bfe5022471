import type { WorkflowModuleOptions } from '../../src/index.js';

type Configured = Omit<WorkflowModuleOptions, 'connection' | 'worker'>;

/** Settings of the modules that must all behave alike. They differ in the transport. */
const MODULES: Readonly<Record<string, Configured>> = { poll: {}, qstash: { transport: 'qstash' }, both: { transport: 'both' } };

/** Settings that DURABLE_CONFORMANCE selects, for all processes of a test. */
export function configured(): Configured {
  const name = process.env['DURABLE_CONFORMANCE'] ?? 'poll';
  const options = MODULES[name];
  if (!options) throw new Error(`DURABLE_CONFORMANCE must be one of ${Object.keys(MODULES).join(', ')}, not ${name}`);
  return options;
}
