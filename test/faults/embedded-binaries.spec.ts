import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { addSymlinks, copyNative, findNative } from '../../src/embedded/binaries.js';
import { canEnter } from '../../src/embedded/server-user.js';

describe('the binaries of the embedded PostgreSQL', () => {
  let folder: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'durable-embedded-spec-'));
  });

  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('run although the package manager skipped the install script that links the libraries', () => {
    const native = join(folder, 'package', 'native');
    cpSync(findNative(), native, { recursive: true, verbatimSymlinks: true });
    const links = JSON.parse(readFileSync(join(native, 'pg-symlinks.json'), 'utf8')) as { target: string }[];
    for (const { target } of links) rmSync(join(native, '..', target));

    addSymlinks(native);
    addSymlinks(native);

    expect(links.filter(({ target }) => !existsSync(join(native, '..', target)))).toEqual([]);
    expect(execFileSync(join(native, 'bin', 'postgres'), ['--version'], { encoding: 'utf8' })).toMatch(/^postgres \(PostgreSQL\)/);
  });

  it('are copied once when two processes copy them for the server user at the same time', async () => {
    const copies = await Promise.all([1, 2].map(() => copyNative(findNative(), folder)));

    expect(new Set(copies).size).toBe(1);
    expect(execFileSync(join(copies[0]!, 'bin', 'postgres'), ['--version'], { encoding: 'utf8' })).toMatch(/PostgreSQL/);
    expect(readdirSync(join(copies[0]!, '..', '..'))).toHaveLength(1);
  });

  it('are not taken from a cache that others can write to', async () => {
    const copy = await copyNative(findNative(), folder);
    chmodSync(join(copy, '..', '..'), 0o777);

    await expect(copyNative(findNative(), folder)).rejects.toThrow(/does not trust/);
  });

  it('count as unreachable below a folder that the server user may not enter', () => {
    chmodSync(folder, 0o700);
    const stranger = { uid: 65_533, gid: 65_533 };
    expect(canEnter(stranger, folder)).toBe(false);

    chmodSync(folder, 0o711);
    expect(canEnter(stranger, folder)).toBe(true);
    expect(canEnter(null, folder)).toBe(true);
  });
});
