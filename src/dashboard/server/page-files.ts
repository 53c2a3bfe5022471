import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, extname, join } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

import { WorkflowConfigurationError } from '../../core/errors/index.js';
import type { DashboardResponse } from '../request.js';
import { etagOf, isCached } from './etag.js';
import { here } from './here.js';

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** Names of assets contain a hash of their content. */
const IMMUTABLE = 'private, max-age=31536000, immutable';

interface PageFile {
  readonly type: string;
  readonly etag: string;
  readonly plain: Buffer;
  readonly gzip: Buffer;
  readonly brotli: Buffer;
}

/** Files of the page, which the build has made. They are read once, at the first request. */
export class PageFiles {
  readonly #folder: string;
  #files: ReadonlyMap<string, PageFile> | undefined;

  /**
   * @throws WorkflowConfigurationError when the files are not there
   */
  constructor(folder = findFolder()) {
    this.#folder = folder;
  }

  /** Answers with the page itself. */
  page(headers: RequestHeaders): DashboardResponse | undefined {
    return this.#answer('index.html', 'no-cache', headers);
  }

  /** Answers with a script, a style sheet or an image of the page. */
  asset(name: string, headers: RequestHeaders): DashboardResponse | undefined {
    return this.#answer(`assets/${name}`, IMMUTABLE, headers);
  }

  #answer(name: string, cache: string, request: RequestHeaders): DashboardResponse | undefined {
    this.#files ??= readFiles(this.#folder);
    const file = this.#files.get(name);
    if (!file) return undefined;
    const headers = { 'content-type': file.type, 'cache-control': cache, etag: file.etag, vary: 'Accept-Encoding' };
    if (isCached(request['if-none-match'], file.etag)) return { status: 304, headers, body: '' };
    const encoding = encodingOf(request['accept-encoding']);
    if (encoding === undefined) return { status: 200, headers, body: file.plain };
    return { status: 200, headers: { ...headers, 'content-encoding': encoding }, body: encoding === 'br' ? file.brotli : file.gzip };
  }
}

interface RequestHeaders {
  readonly 'if-none-match'?: string | undefined;
  readonly 'accept-encoding'?: string | string[] | undefined;
}

function encodingOf(accepted: string | string[] | undefined): 'br' | 'gzip' | undefined {
  const offered = String(accepted ?? '')
    .split(',')
    .map((each) => each.trim())
    .filter((each) => !/;\s*q=0(?:\.0*)?$/.test(each))
    .map((each) => each.replace(/;.*$/, '').toLowerCase());
  if (offered.includes('br')) return 'br';
  return offered.includes('gzip') ? 'gzip' : undefined;
}

function readFiles(folder: string): Map<string, PageFile> {
  const assets = readdirSync(join(folder, 'assets')).map((name) => `assets/${name}`);
  return new Map(
    ['index.html', ...assets].flatMap((name) => {
      const type = TYPES[extname(name)];
      if (type === undefined) return [];
      const plain = readFileSync(join(folder, name));
      const brotli = brotliCompressSync(plain, { params: { [constants.BROTLI_PARAM_QUALITY]: 9 } });
      return [[name, { type, etag: etagOf(plain), plain, gzip: gzipSync(plain), brotli }] as const];
    }),
  );
}

/** Finds the folder of the built page: above this file, or in the application's packages. */
function findFolder(): string {
  const candidates = here === undefined ? [] : ancestors(dirname(here)).map((folder) => join(folder, 'dist/dashboard'));
  candidates.push(join(process.cwd(), 'node_modules/nestjs-durable/dist/dashboard'));
  const found = candidates.find((folder) => existsSync(join(folder, 'index.html')));
  if (found !== undefined) return found;
  throw new WorkflowConfigurationError(
    'the files of the dashboard are missing: nestjs-durable/dist/dashboard/index.html is not there. ' +
      'A bundler must leave the package "nestjs-durable" outside of its bundle',
  );
}

/** Returns a folder and the folders above it, up to the root of the package. */
function ancestors(folder: string): string[] {
  const above = [folder];
  while (above.length < 8 && dirname(above.at(-1)!) !== above.at(-1)) above.push(dirname(above.at(-1)!));
  return above;
}
