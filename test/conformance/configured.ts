import type { WorkflowModuleOptions } from '../../src/index.js';

type Configured = Omit<WorkflowModuleOptions, 'connection' | 'worker'>;

/** The modules that must all behave alike: how a worker learns that a run is due. */
const MODULES: Readonly<Record<string, Configured>> = { poll: {}, qstash: { transport: 'qstash' }, both: { transport: 'both' } };

/** Settings that DURABLE_CONFORMANCE makes, in this process and in those that it starts. */
export function configured(): Configured {
  const name = process.env['DURABLE_CONFORMANCE'] ?? 'poll';
  const options = MODULES[name];
  if (!options) throw new Error(`DURABLE_CONFORMANCE must be one of ${Object.keys(MODULES).join(', ')}, not ${name}`);
  return options;
}
