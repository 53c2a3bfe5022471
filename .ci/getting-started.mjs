// Follows docs/getting-started.md word by word in an empty folder: writes its files, runs its
// commands in one shell, and checks the output that it promises. Two things are replaced: the
// package is packed here instead of downloaded, and the port is a free one.
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';

import { freePort } from './free-port.mjs';
import { pack, temporaryDirectory, userEnvironment } from './pack.mjs';

const FIRST_RUN = '<!-- the first completed run -->';
const LIMIT_MS = 480_000;

const page = readFileSync(new URL('../docs/getting-started.md', import.meta.url), 'utf8');
const temporary = temporaryDirectory('getting-started');
const tarball = pack(temporary);
const application = join(temporary, 'work');
mkdirSync(application);

/**
 * Yields the actions of the page in their order. A block of code is a file when the line before the
 * block ends with a file's name.
 */
function* actions() {
  const pattern = /(?:^([^\n]*)\n\n)?^```(\w+)\n(.*?)^```$|^<!-- (?:.*?) -->$/gms;
  for (const [whole, before = '', language, body] of page.matchAll(pattern)) {
    const file = /`([^`\s]+)`:$/.exec(before)?.[1];
    if (whole === FIRST_RUN) yield { kind: 'first run' };
    else if (language === 'sh') yield { kind: 'run', body };
    else if (language === 'text') yield { kind: 'expect', body };
    else if (file) yield { kind: 'write', file: join('shop', file), body };
    else throw new Error(`the page does not say what this block is for:\n${whole}`);
  }
}

const port = await freePort();

// The shell has a process group of its own, so that background processes can be ended with it.
const shell = spawn('bash', ['--norc', '-s'], {
  cwd: application,
  env: userEnvironment({ PORT: String(port), NO_COLOR: '1' }),
  stdio: ['pipe', 'pipe', 'pipe'],
  detached: true,
});
const end = () => {
  try {
    if (shell.pid !== undefined) process.kill(-shell.pid, 'SIGTERM');
  } catch {
    // The shell has ended already.
  }
};
process.on('exit', end);
const limit = setTimeout(() => fail(`not done within ${LIMIT_MS / 1000} s`), LIMIT_MS);

let output = '';
let noticed = () => undefined;
for (const stream of [shell.stdout, shell.stderr]) {
  stream.setEncoding('utf8').on('data', (text) => {
    output += text;
    noticed();
  });
}
let ended = false;
// `close` would not come: background processes keep the output open.
shell.on('exit', () => {
  ended = true;
  noticed();
});

function fail(why) {
  console.log(`${output}\n\ndocs/getting-started.md does not work: ${why}`);
  process.exit(1);
}

/** Runs one block to its end and returns what it printed. */
async function run(index, body) {
  const commands = body
    .replace(/^(npm install .*)\bnestjs-durable\b/gm, (_, rest) => `${rest}${tarball}`)
    .replaceAll('localhost:3000', `localhost:${port}`);
  const script = join(temporary, `block-${index}.sh`);
  writeFileSync(script, commands);
  const start = output.length;
  const mark = `@@ the end of block ${index}`;
  // Stops at the first command that fails, as a reader would.
  shell.stdin.write(`set -e; . ${script} </dev/null; echo; echo '${mark}'\n`);
  while (!output.includes(`${mark}\n`, start)) {
    if (ended) fail(`a command of this block failed:\n${body}`);
    await new Promise((resolve) => (noticed = resolve));
  }
  return output.slice(start);
}

const begun = Date.now();
const seconds = () => ((Date.now() - begun) / 1000).toFixed(1);
const counts = { write: 0, run: 0, expect: 0 };
let firstRun;
let printed = '';
for (const action of actions()) {
  if (action.kind === 'first run') {
    firstRun = seconds();
    continue;
  }
  counts[action.kind]++;
  if (action.kind === 'write') {
    const file = join(application, action.file);
    if (relative(application, file).startsWith('..')) fail(`${action.file} is elsewhere`);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, action.body);
  } else if (action.kind === 'run') {
    printed = await run(counts.run, action.body);
  } else {
    const missing = action.body.split('\n').find((line) => !printed.includes(line));
    if (missing !== undefined) fail(`this was promised and not printed: ${missing}`);
  }
}
const charges = output.match(/charging order 2,/g)?.length ?? 0;
if (charges !== 1) fail(`order 2 was charged ${charges} times`);
if (firstRun === undefined || counts.expect === 0) fail('the page has no output to look for');
clearTimeout(limit);
console.log(`docs/getting-started.md: ${counts.write} files, ${counts.run} blocks of commands, ${counts.expect} promises kept`);
console.log(
  `from the empty folder to the first completed run ${firstRun} s; to the end of the page ${seconds()} s (Node ${process.versions.node})`,
);
process.exit(0);
