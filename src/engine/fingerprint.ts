import { encodeUntyped } from '../core/serializer/index.js';

/**
 * A 32-bit fingerprint (FNV-1a) of a step's arguments, to notice that today's code calls a recorded step with others. Null when they cannot
 * be written down (a function, a stream): such steps are not compared.
 */
export function fingerprint(args: readonly unknown[]): number | null {
  if (args.length === 0) return 0;
  let text: string;
  try {
    text = encodeUntyped(args, 'arguments');
  } catch {
    return null;
  }
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  return hash | 0;
}
