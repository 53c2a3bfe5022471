import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { performance } from 'node:perf_hooks';

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';

import { buildIdentity, type ProcessInfo } from './build-identity.js';
import { Deployment } from './deployment.js';
import { PATIENCE } from '../../test/support/wait.js';

const NODE = '/usr/local/bin/node';

describe('the identity of a build', () => {
  const folders: string[] = [];
  let app: string;
  beforeEach(() => {
    app = build({});
  });
  afterEach(() => {
    for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
  });

  /**
   * Creates another application in a new folder. The identity of an application is cached by its
   * path, so tests must not share one.
   */
  function build(files: Record<string, string>): string {
    const folder = mkdtempSync(join(tmpdir(), 'build-'));
    folders.push(folder);
    const standard = { 'package.json': '{"version":"1.0.0"}', 'dist/main.js': 'main', 'dist/helper.js': 'one' };
    for (const [name, text] of Object.entries({ ...standard, ...files })) {
      mkdirSync(dirname(join(folder, name)), { recursive: true });
      writeFileSync(join(folder, name), text);
    }
    return folder;
  }
  const of = (folder: string, script: string | undefined, more: Partial<ProcessInfo> = {}): string | undefined =>
    buildIdentity({ argv: script === undefined ? [NODE] : [NODE, script], execPath: NODE, env: {}, cwd: folder, ...more });

  it.each(['dist/main.js', 'dist/main', './dist/main'])('is found when the application is started by "node %s"', (script) => {
    expect(of(app, script)).toMatch(/^[0-9a-f]{64}$/);
    expect(of(app, join(app, script))).toBe(of(app, 'dist/main.js'));
  });

  it('is found when node is started with the name of a folder', () => {
    expect(of(build({ 'dist/index.js': 'x' }), 'dist')).toBeDefined();
  });

  it('is the same for the same code in another folder, at another time, and beside other files that are no code', () => {
    const other = build({
      'dist/main.js.map': '{}',
      'dist/main.d.ts': 'x',
      'dist/tsconfig.build.tsbuildinfo': 'x',
      'dist/.cache/a.js': 'x',
      'dist/node_modules/a/index.js': 'x',
      'test/a.js': 'x',
    });
    utimesSync(join(other, 'dist/main.js'), 1, 1);
    expect(of(other, 'dist/main')).toBe(of(app, 'dist/main'));
  });

  it.each([
    ['a changed helper', { 'dist/helper.js': 'two' }],
    ['a changed entry file', { 'dist/main.js': 'main 2' }],
    ['an added file', { 'dist/deep/er/new.js': '' }],
    ['a changed package.json', { 'package.json': '{"version":"1.0.1"}' }],
  ])('differs with %s', (_, files) => {
    expect(of(build(files), 'dist/main')).not.toBe(of(app, 'dist/main'));
  });

  it('differs with a changed helper beside the folder of the entry file, as in a monorepo', () => {
    const files = { 'dist/src/main.js': 'main', 'dist/libs/helper.js': 'one' };
    const before = of(build(files), 'dist/src/main');
    expect(of(build({ ...files, 'dist/libs/helper.js': 'two' }), 'dist/src/main')).not.toBe(before);
  });

  it('differs with a changed helper in TypeScript that node executes directly', () => {
    const before = of(build({ 'src/main.ts': 'main', 'src/helper.ts': 'one' }), 'src/main.ts');
    expect(of(build({ 'src/main.ts': 'main', 'src/helper.ts': 'two' }), 'src/main.ts')).not.toBe(before);
  });

  it('is the identity of the application under PM2, whose own file is the script', () => {
    const tool = build({ 'node_modules/pm2/lib/ProcessContainerFork.js': 'pm2' });
    const script = join(tool, 'node_modules/pm2/lib/ProcessContainerFork.js');
    expect(of(app, script, { env: { pm_exec_path: join(app, 'dist/main.js') } })).toBe(of(app, 'dist/main'));
  });

  it('is the identity of the executable when an executable contains the application', () => {
    const execPath = join(build({ shop: 'binary' }), 'shop');
    const first = of(app, '/$bunfs/root/shop', { execPath });
    expect(first).toBeDefined();
    expect(of(app, '/$bunfs/root/shop', { execPath: join(build({ shop: 'binary, longer' }), 'shop') })).not.toBe(first);
  });

  it.each([
    ['no script', undefined],
    ['a missing script', 'dist/nowhere'],
    ['the script of a test runner', 'node_modules/jest/bin/jest.js'],
  ])('is unknown with %s', (_, script) => {
    const folder = build({ 'node_modules/jest/bin/jest.js': '' });
    expect(of(folder, script)).toBeUndefined();
    const deployment = new Deployment(undefined, { argv: [NODE, script ?? ''], execPath: NODE, env: {}, cwd: folder });
    expect(deployment.isKnown).toBe(false);
    const before = deployment.id;
    deployment.foundWorkflows(['class A {}']);
    expect(deployment.id).not.toBe(before);
  });

  it('includes only the size and the time of a file that is too large to read', () => {
    const big = 'x'.repeat(9 * 1024 * 1024);
    const at = (seconds: number): string => {
      const folder = build({ 'dist/main.js': big });
      utimesSync(join(folder, 'dist/main.js'), seconds, seconds);
      return folder;
    };
    expect(of(at(1), 'dist/main')).toBe(of(at(1), 'dist/main'));
    expect(of(at(2), 'dist/main')).not.toBe(of(at(1), 'dist/main'));
  });

  it('does not change while the process lives, and does not apply beside a configured id', () => {
    const before = of(app, 'dist/main');
    writeFileSync(join(app, 'dist/helper.js'), 'two');
    expect(of(app, 'dist/main')).toBe(before);
    expect(new Deployment('mine').id).toBe('mine');
  });

  it('is computed in little time for 500 files of 8 KB', () => {
    const files = Object.fromEntries(Array.from({ length: 500 }, (_, index) => [`dist/m${index % 20}/f${index}.js`, 'x'.repeat(8_192)]));
    const folder = build(files);
    const since = performance.now();
    of(folder, 'dist/main');
    expect(performance.now() - since).toBeLessThan(1_000 * PATIENCE);
  });
});
