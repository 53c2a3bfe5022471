// Checks what the documents refer to: relative links and their anchors, paths of this repository,
// and npm scripts. Files move, and a document that names the old place misleads.
//
// Usage: node .ci/docs.mjs
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import process from 'node:process';

/** Files of the reader's application, which documents name in the same way. */
const OF_THE_APPLICATION = /^src\/(?:main|order|orders|payment|app)\.[\w.]*ts$/;
/** Documents that name files of `src` without their folder. */
const NAMING_FILES = ['docs/architecture/', 'ARCHITECTURE.md'];

const tracked = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], { encoding: 'utf8' }).split('\n');
const files = tracked.filter((file) => file !== '' && existsSync(file));
const names = new Set(files.map((file) => basename(file)));
const documents = files.filter((file) => file.endsWith('.md') && !file.startsWith('test/'));
const { scripts } = JSON.parse(readFileSync('package.json', 'utf8'));

/** Returns the anchors of a document's headings, as GitHub makes them. */
function anchorsOf(document) {
  const prose = readFileSync(document, 'utf8').replaceAll(/^```[^]*?^```/gm, '');
  const headings = [...prose.matchAll(/^#+ (.*)$/gm)].map(([, heading]) => heading.trim().toLowerCase());
  return headings.map((heading) => heading.replaceAll(/[^\p{L}\p{N}\-_ ]/gu, '').replaceAll(' ', '-'));
}

/** Returns whether a path exists; a `*` in it stands for a part of a name. */
function doesExist(path) {
  if (!path.includes('*')) return existsSync(path);
  const pattern = new RegExp(`^${path.replaceAll('.', '\\.').replaceAll('*', '[^/]*')}$`);
  return files.some((file) => pattern.test(file));
}

const problems = [];
let references = 0;
for (const document of documents) {
  const text = readFileSync(document, 'utf8');
  const check = (holds, problem) => {
    references++;
    if (!holds) problems.push(`${document}: ${problem}`);
  };
  for (const [, link] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
    if (/^\w+:/.test(link)) continue;
    const [path, anchor] = link.split('#');
    const target = path === '' ? document : join(dirname(document), path);
    check(existsSync(target), `the link ${link} leads nowhere`);
    if (anchor !== undefined && existsSync(target)) check(anchorsOf(target).includes(anchor), `${target} has no heading for #${anchor}`);
  }
  for (const [, path] of text.matchAll(/`((?:src|test|migrations|sample|docs|\.ci)\/[\w./*-]+)`/g)) {
    if (!OF_THE_APPLICATION.test(path)) check(doesExist(path), `${path} does not exist`);
  }
  if (NAMING_FILES.some((prefix) => document.startsWith(prefix))) {
    for (const [, name] of text.matchAll(/`([\w.-]+\.ts)`/g)) check(names.has(name), `no file is called ${name}`);
  }
  for (const [, script] of text.matchAll(/\bnpm run ([\w:-]+)/g)) {
    if (!document.startsWith('docs/getting-started')) check(script in scripts, `package.json has no script ${script}`);
  }
}
if (references === 0) problems.push('no reference was checked');
for (const problem of problems) console.log(problem);
console.log(`Documents: ${documents.length} files, ${references} references, ${problems.length} problems.`);
process.exitCode = problems.length > 0 ? 1 : 0;
