/** A rule of the plugin, in the form that ESLint and oxlint take. */
export interface DurableRule {
  /** Description of the rule for the linter. */
  readonly meta: {
    readonly type: 'problem';
    readonly docs: { readonly description: string; readonly recommended: true };
    readonly fixable?: 'code';
    readonly hasSuggestions?: true;
    readonly schema: [];
    readonly messages: Record<string, string>;
  };
  /** Called by the linter for each file, with a context of the linter's own type. */
  create(context: never): Record<string, () => void>;
}

/** Names of the rules. */
export type DurableRuleName =
  | 'no-clock'
  | 'no-database'
  | 'no-environment'
  | 'no-network'
  | 'no-random'
  | 'no-timers'
  | 'no-unawaited-steps';

/** Name of the plugin, which is the prefix of its rules. */
export interface DurablePluginMeta {
  name: 'nestjs-durable';
}

/** Rules by their names, without the prefix of the plugin. */
export type DurableRules = Record<DurableRuleName, DurableRule>;

/** A configuration of ESLint that turns rules of this plugin on. */
export interface DurableLintConfig {
  /** Name that ESLint's config inspector shows. */
  name: string;
  /** This plugin, under its name. */
  plugins: { 'nestjs-durable': { meta: DurablePluginMeta; rules: DurableRules } };
  /** All rules of the plugin, as errors. */
  rules: Record<`nestjs-durable/${DurableRuleName}`, 'error'>;
}

/** The plugin, as ESLint and oxlint load it. */
export interface DurablePlugin {
  /** Name of the plugin. */
  meta: DurablePluginMeta;
  /** Rules by their names. */
  rules: DurableRules;
  /** Configurations for ESLint's flat config. */
  configs: { recommended: DurableLintConfig };
}
