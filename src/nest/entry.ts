import { statSync } from 'node:fs';

/**
 * What tells one build of the application's entry file from another: its size and time. Replicas of one image agree, a new build differs, also
 * when only a helper of the workflows was changed.
 */
export function entryOf(file: string | undefined): string {
  try {
    const { size, mtimeMs } = statSync(file ?? '');
    return `${size}/${Math.floor(mtimeMs)}`;
  } catch {
    return 'none';
  }
}
