import { join } from 'node:path';

/** Folder in which a line of the kit is installed. */
export function kitFolder(name: string): string {
  const folder = process.env.DURABLE_WORLD_KITS;
  if (!folder) throw new Error('DURABLE_WORLD_KITS is not set: run these tests by npm run test:world');
  return join(folder, name);
}
