/** The part of the package that tests use. The package has no types of its own. */
declare module 'compression' {
  function compression(options: { readonly threshold: number }): (request: unknown, response: unknown, next: () => void) => void;
  export = compression;
}
