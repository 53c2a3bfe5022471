/** Settings that decide how values are written. Those of a role or a database may be such that numbers lose digits. */
export const FORMATS = ['datestyle=ISO', 'extra_float_digits=1', 'array_nulls=on'];

/**
 * Adds settings to the options that a connection is begun with. Later ones win over earlier ones.
 *
 * @param given options as the address or the application states them, such as `-c search_path=app`
 */
export function withSettings(given: string | undefined, settings: readonly string[]): string {
  return [given, ...settings.map((setting) => `-c ${setting}`)].filter(Boolean).join(' ');
}
