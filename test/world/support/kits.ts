import { join } from 'node:path';

/** Major versions of Node on which the kit's own tests run. */
export type NodeVersion = '22' | '24';

/** Path of a Node of another version than the one that runs the tests. */
export function nodeBinary(version: NodeVersion): string {
  const name = `node-${process.platform}-${process.arch}`;
  return join(kitFolder(`node${version}`), 'node_modules', name, 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
}

/** Folder in which a line of the kit is installed. */
export function kitFolder(name: string): string {
  const folder = process.env.DURABLE_WORLD_KITS;
  if (!folder) throw new Error('DURABLE_WORLD_KITS is not set: run these tests by npm run test:world');
  return join(folder, name);
}
