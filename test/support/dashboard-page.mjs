import { execFileSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

import { filesBelow } from './compile.mjs';

const BUILT = 'dist/dashboard/index.html';
const SOURCES = 'src/dashboard/page';

/** Builds the page of the dashboard, unless the build is newer than its sources. */
export function buildDashboardPage() {
  const newest = Math.max(...[...filesBelow(SOURCES)].map((file) => statSync(file).mtimeMs));
  if (existsSync(BUILT) && newest <= statSync(BUILT).mtimeMs) return;
  const vite = join(dirname(createRequire(import.meta.url).resolve('vite/package.json')), 'bin/vite.js');
  execFileSync(process.execPath, [vite, 'build', '--config', `${SOURCES}/vite.config.mjs`], { stdio: ['ignore', 'ignore', 'inherit'] });
}
