/**
 * Settings that decide how the server formats values. With the defaults of some roles or databases,
 * numbers would lose digits.
 */
export const FORMATS = ['datestyle=ISO', 'extra_float_digits=1', 'array_nulls=on'];

/**
 * Adds settings to the startup options of a connection. Later settings win over earlier ones.
 *
 * @param given options from the address or the application, such as `-c search_path=app`
 */
export function withSettings(given: string | undefined, settings: readonly string[]): string {
  return [given, ...settings.map((setting) => `-c ${setting}`)].filter(Boolean).join(' ');
}
