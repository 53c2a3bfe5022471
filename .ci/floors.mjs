// Checks the floors with dependency-cruiser. Also fails when too few modules were seen: without
// TypeScript support, dependency-cruiser finds no modules and no violations.
import { cruise, format } from 'dependency-cruiser';
import extractDepcruiseOptions from 'dependency-cruiser/config-utl/extract-depcruise-options';
import extractTSConfig from 'dependency-cruiser/config-utl/extract-ts-config';

const MIN_MODULES = 10;
const folders = ['src', 'migrations', 'test', 'sample'];

const options = await extractDepcruiseOptions('./.dependency-cruiser.mjs');
const tsConfig = extractTSConfig('tsconfig.json');
const { output } = await cruise(folders, options, undefined, { tsConfig });

const { output: report, exitCode } = await format(output, { outputType: 'err' });
console.log(report);

const modules = output.modules.filter(({ source }) => source.startsWith('src/'));
const imports = modules.flatMap(({ dependencies }) => dependencies);
if (modules.length < MIN_MODULES || imports.length < MIN_MODULES) {
  console.error(`Only ${modules.length} modules and ${imports.length} imports of src were seen, so nothing was checked.`);
  process.exit(1);
}
console.log(`Floors: ${modules.length} modules and ${imports.length} imports of src seen.`);
process.exit(exitCode === 0 ? 0 : 1);
