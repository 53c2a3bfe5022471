import { spawnSync } from 'node:child_process';

import { describe } from '@jest/globals';
import { chromium, type Browser } from 'playwright-core';

const BINARIES = ['chromium', '/usr/bin/chromium', 'chromium-browser', 'google-chrome'];

const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** Path of the installed Chromium; undefined when Chromium is not installed. */
const executablePath: string | undefined = BINARIES.map((binary) => spawnSync('which', [binary], { encoding: 'utf8' }))
  .find(({ status }) => status === 0)
  ?.stdout.trim();

/** True when Chromium is installed. */
export const hasChromium = executablePath !== undefined;

/** The `describe` of tests that need Chromium. Skips them where Chromium is not installed. */
export function describeWithChromium(name: string, tests: () => void): void {
  if (!hasChromium) console.log(`skipped, because Chromium is not installed: ${name}`);
  (hasChromium ? describe : describe.skip)(name, tests);
}

/** Starts Chromium with a new, empty profile. */
export function launchChromium(): Promise<Browser> {
  return chromium.launch({ executablePath: executablePath!, args: FLAGS });
}
