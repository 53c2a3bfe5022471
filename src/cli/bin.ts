#!/usr/bin/env node
import { readFileSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline/promises';

import { EXIT } from './exit-codes.js';
import { main } from './main.js';
import type { Io } from './io.js';

const { stdin, stdout, stderr, env } = process;

/** Reads the version from the package.json above this program. */
function readVersion(): string {
  for (let folder = dirname(realpathSync(process.argv[1]!)); folder !== dirname(folder); folder = dirname(folder)) {
    try {
      const { name, version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Record<string, unknown>;
      if (name === 'nestjs-durable') return String(version);
    } catch {
      // This folder has no package.json.
    }
  }
  return 'unknown';
}

const interruption = new AbortController();
/** True once the command has asked for the signal, and so ends by itself when it is interrupted. */
let endsByItself = false;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    if (interruption.signal.aborted || !endsByItself) process.exit(EXIT.interrupted);
    interruption.abort();
  });
}

// The reader of a pipe, such as `head`, may end first. The rest of the output is not wanted then.
stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? EXIT.ok : EXIT.failed));
stderr.on('error', () => undefined);

const io: Io = {
  environment: env,
  version: readVersion(),
  isInteractive: stdin.isTTY && stderr.isTTY,
  hasColors: stdout.isTTY && !env['NO_COLOR'],
  showsProgress: stderr.isTTY,
  write: (text) =>
    new Promise((resolve) => {
      if (stdout.write(text)) resolve();
      else stdout.once('drain', resolve);
    }),
  writeError: (text) => void stderr.write(text),
  ask: async (question) => {
    const terminal = createInterface({ input: stdin, output: stderr });
    // Ctrl-C and Ctrl-D close the terminal, and then no answer comes.
    const closed = new Promise<string>((resolve) => terminal.once('close', () => resolve('')));
    terminal.once('SIGINT', () => terminal.close());
    try {
      return await Promise.race([terminal.question(question), closed]);
    } finally {
      terminal.close();
    }
  },
  readInput: async () => {
    const parts: Buffer[] = [];
    for await (const part of stdin) parts.push(part as Buffer);
    return Buffer.concat(parts);
  },
  get interrupted() {
    endsByItself = true;
    return interruption.signal;
  },
};

void main(process.argv.slice(2), io).then((code) => {
  process.exitCode = code;
});
