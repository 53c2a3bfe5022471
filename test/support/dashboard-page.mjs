import { execFileSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { filesBelow } from './compile.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const built = join(root, 'dist/dashboard/index.html');
const sources = join(root, 'src/dashboard/page');

/** Number of times that a process looks for the build of another one. */
const LOOKS = 600;

/**
 * Builds the page of the dashboard, unless the build is newer than its sources. When two Jest runs
 * begin at once, Vite refuses the second build, which then waits for the first one.
 */
export async function buildDashboardPage() {
  if (isBuilt()) return;
  const vite = join(dirname(createRequire(import.meta.url).resolve('vite/package.json')), 'bin/vite.js');
  try {
    execFileSync(process.execPath, [vite, 'build', '--config', join(sources, 'vite.config.mjs')], { cwd: root, stdio: 'pipe' });
  } catch (error) {
    if (!String(error.stderr).includes('another Vite build')) throw error;
    for (let look = 0; !isBuilt(); look++) {
      if (look === LOOKS) throw error;
      await sleep(200);
    }
  }
}

function isBuilt() {
  const newest = Math.max(...[...filesBelow(sources)].map((file) => statSync(file).mtimeMs));
  return existsSync(built) && newest <= statSync(built).mtimeMs;
}
