import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { beforeAll, describe, expect, it } from '@jest/globals';
import ts from 'typescript';

const FILE = join(process.cwd(), 'test/types/editor-probe.ts');
const HEAD = `
import { Workflow, type WorkflowClient, type WorkflowContext } from '../../src/index.js';
@Workflow({ name: 'order' })
export class OrderWorkflow {
  async run(_order: { orderId: string; totalCents: number }, _ctx: WorkflowContext): Promise<void> {}
}
@Workflow({ name: 'nightly' })
export class NightlyWorkflow {
  async run(): Promise<void> {}
}
export declare const client: WorkflowClient;
export declare const ctx: WorkflowContext;
`;

let text = HEAD;
let version = 0;
let service: ts.LanguageService;
beforeAll(() => {
  const { config } = ts.readConfigFile('tsconfig.json', (path) => readFileSync(path, 'utf8')) as { config: { compilerOptions: object } };
  const { options } = ts.convertCompilerOptionsFromJson(config.compilerOptions, process.cwd());
  service = ts.createLanguageService({
    getScriptFileNames: () => [FILE],
    getScriptVersion: (file) => (file === FILE ? String(version) : '1'),
    getScriptSnapshot: (file) => {
      if (file === FILE) return ts.ScriptSnapshot.fromString(text);
      return ts.sys.fileExists(file) ? ts.ScriptSnapshot.fromString(readFileSync(file, 'utf8')) : undefined;
    },
    getCurrentDirectory: () => process.cwd(),
    getCompilationSettings: () => ({ ...options, noEmit: true, skipLibCheck: true }),
    getDefaultLibFileName: ts.getDefaultLibFilePath,
    fileExists: ts.sys.fileExists,
    readFile: ts.sys.readFile,
    readDirectory: ts.sys.readDirectory,
    directoryExists: (path) => path === dirname(FILE) || ts.sys.directoryExists(path),
    getDirectories: ts.sys.getDirectories,
  });
});

/** Lists the completions that an editor offers at the position of the bar. */
function offered(code: string): string[] {
  const at = HEAD.length + code.indexOf('|');
  text = HEAD + code.replace('|', '');
  version++;
  return (service.getCompletionsAtPosition(FILE, at, {})?.entries ?? []).map(({ name }) => name);
}

/** Returns the compiler's message about the code. */
function said(code: string): string {
  text = `${HEAD}export const probe = async () => ${code};`;
  version++;
  return service
    .getSemanticDiagnostics(FILE)
    .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'))
    .join('\n');
}

describe('an editor', () => {
  it.each([
    ['start', 'client.start(OrderWorkflow, { | });'],
    ['execute', 'client.execute(OrderWorkflow, { | });'],
    ['startMany', 'client.startMany(OrderWorkflow, [{ | }]);'],
    ['ctx.invoke', 'ctx.invoke(OrderWorkflow, { | });'],
    ['ctx.start', 'ctx.start(OrderWorkflow, { | });'],
  ])('offers the fields of the input in %s', (_, code) => {
    expect(offered(code)).toEqual(expect.arrayContaining(['orderId', 'totalCents']));
  });

  it('offers the options of a start', () => {
    expect(offered(`client.start(OrderWorkflow, { orderId: '1', totalCents: 1 }, { | });`)).toEqual(expect.arrayContaining(['id', 'tags']));
    expect(offered(`client.start('order', {}, { | });`)).toEqual(expect.arrayContaining(['id', 'tags']));
  });
});

describe('the compiler', () => {
  it.each([
    [
      'a field of another type',
      `client.start(OrderWorkflow, { orderId: 7, totalCents: 1 })`,
      /^Type 'number' is not assignable to type 'string'/,
    ],
    ['a field that is missing', `client.execute(OrderWorkflow, { orderId: '7' })`, /'totalCents' is missing/],
    ['a field that does not exist', `client.start(OrderWorkflow, { orderId: '7', totalCents: 1, more: 1 })`, /'more' does not exist/],
    ['an input that is missing', `client.start(OrderWorkflow)`, /^Expected 2-3 arguments, but got 1/],
    [
      'a misspelt option',
      `client.start(OrderWorkflow, { orderId: '7', totalCents: 1 }, { ID: 'x' })`,
      /'ID' does not exist in type 'StartOptions'/,
    ],
    ['a class that is not a workflow', `client.start(Date, {})`, /'DateConstructor' is not assignable to parameter of type/],
    ['an input where there is none', `client.execute(NightlyWorkflow, 1)`, /type '1' is not assignable to parameter of type 'undefined'/],
  ])('reports %s', (_, code, message) => {
    expect(said(code)).toMatch(message);
  });

  it('accepts correct calls', () => {
    expect(
      said(`[client.start(OrderWorkflow, { orderId: '7', totalCents: 1 }), client.execute(NightlyWorkflow), client.start('order', 1)]`),
    ).toBe('');
  });
});
