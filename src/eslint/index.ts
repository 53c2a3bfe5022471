/**
 * Lint rules for the code of workflows: a plugin for ESLint (flat config) and oxlint.
 *
 * @module
 */
import type { DurableLintConfig, DurablePlugin, DurablePluginMeta, DurableRules } from './plugin-types.js';
import { noClock } from './rules/no-clock.js';
import { noDatabase } from './rules/no-database.js';
import { noEnvironment } from './rules/no-environment.js';
import { noNetwork } from './rules/no-network.js';
import { noRandom } from './rules/no-random.js';
import { noTimers } from './rules/no-timers.js';
import { noUnawaitedSteps } from './rules/no-unawaited-steps.js';

export type { DurableLintConfig, DurablePlugin, DurablePluginMeta, DurableRule, DurableRuleName, DurableRules } from './plugin-types.js';

// The parts are exported by name too, so that `require('nestjs-durable/eslint')` is a plugin.
/** Name of the plugin, which is the prefix of its rules. */
export const meta: DurablePluginMeta = { name: 'nestjs-durable' };

/** Rules by their names, without the prefix of the plugin. */
export const rules: DurableRules = {
  'no-clock': noClock,
  'no-database': noDatabase,
  'no-environment': noEnvironment,
  'no-network': noNetwork,
  'no-random': noRandom,
  'no-timers': noTimers,
  'no-unawaited-steps': noUnawaitedSteps,
};

/**
 * Configurations for ESLint's flat config. `recommended` turns all rules on, as errors.
 *
 * @example
 * import durable from 'nestjs-durable/eslint';
 * export default [durable.configs.recommended];
 */
export const configs: { recommended: DurableLintConfig } = {
  recommended: {
    name: 'nestjs-durable/recommended',
    plugins: { 'nestjs-durable': { meta, rules } },
    rules: {
      'nestjs-durable/no-clock': 'error',
      'nestjs-durable/no-database': 'error',
      'nestjs-durable/no-environment': 'error',
      'nestjs-durable/no-network': 'error',
      'nestjs-durable/no-random': 'error',
      'nestjs-durable/no-timers': 'error',
      'nestjs-durable/no-unawaited-steps': 'error',
    },
  },
};

/** The plugin. */
const plugin: DurablePlugin = { meta, rules, configs };
// ESLint refuses a second object as the plugin of the same name.
configs.recommended.plugins['nestjs-durable'] = plugin;
export default plugin;
