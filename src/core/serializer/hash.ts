import type { Json } from './json.js';

const SEED = 0x811c9dc5;
const PRIME = 0x01000193;
/**
 * Start value of the hash for each kind of value, so that values of different kinds get different
 * hashes.
 */
const KINDS = { null: 0x1f3d5b79, false: 0x2c4e6a88, true: 0x3b5d7f91, number: 0x4a6c8ea2, array: 0x59b3d1f3, object: 0x6d8fa1c5 };

const float = new Float64Array(1);
const halves = new Int32Array(float.buffer);

/** Matches the frames of a stack, as V8 and compatible engines write them. */
const FRAMES = /\n[ \t]+at [^\n]*/g;

/**
 * Returns the 32-bit hash (FNV-1a) of a stored tree. The order of an object's keys and the stack
 * frames in a text do not change the hash. Neither has a meaning for a program, and both may change
 * when the program's code is edited or moved.
 */
export function hashOf(json: Json): number {
  if (typeof json === 'string') return hashText(json.includes('\n') ? json.replace(FRAMES, '') : json);
  if (typeof json === 'number') return hashNumber(json);
  if (json === null) return KINDS.null;
  if (typeof json === 'boolean') return json ? KINDS.true : KINDS.false;
  if (Array.isArray(json)) return hashOfAll(json.map(hashOf));
  let sum = 0;
  for (const key of Object.keys(json)) sum = (sum + mix(hashText(key), hashOf(json[key]!))) | 0;
  return mix(KINDS.object, sum);
}

/** Combines the hashes of several values, in their order, into one hash. */
export function hashOfAll(hashes: readonly number[]): number {
  let hash = KINDS.array;
  for (let index = 0; index < hashes.length; index++) hash = mix(hash, hashes[index]!);
  return hash;
}

function hashText(text: string): number {
  let hash = SEED;
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), PRIME);
  return hash;
}

function hashNumber(value: number): number {
  float[0] = value;
  return mix(mix(KINDS.number, halves[0]!), halves[1]!);
}

/**
 * Mixes a number into a hash and spreads the bits. The hashes of the members of an object are
 * summed, and without the spread, different objects would often have the same sum.
 */
function mix(hash: number, next: number): number {
  let mixed = Math.imul(Math.imul(hash, 31) + next, 0x85ebca6b);
  mixed ^= mixed >>> 13;
  mixed = Math.imul(mixed, 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}
