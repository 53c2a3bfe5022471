/**
 * Path of this file. The build replaces this module in the ES modules of the package, because those
 * have no `__filename`, and CommonJS has no `import.meta`.
 */
export const here: string | undefined = typeof __filename === 'string' ? __filename : undefined;
