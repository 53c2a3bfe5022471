/**
 * Generator of random numbers that are the same each time the run's code is executed. Uses
 * xoshiro128** (Blackman and Vigna, public domain), seeded from the id of the run. Not for secrets.
 */
export class SeededRandom {
  private readonly state = new Uint32Array(4);

  constructor(seed: string) {
    let hash = 0x9e3779b9;
    for (let word = 0; word < 4; word++) {
      for (let index = 0; index < seed.length; index++) {
        hash = Math.imul(hash ^ seed.charCodeAt(index), 0x85ebca6b);
        hash ^= hash >>> 13;
      }
      hash = Math.imul(hash ^ (word + 1), 0xc2b2ae35);
      this.state[word] = hash ^ (hash >>> 16);
    }
    if (this.state.every((word) => word === 0)) this.state[0] = 1;
  }

  /** Returns 32 random bits. */
  private bits(): number {
    const s = this.state;
    const s1 = s[1]!;
    const mixed = Math.imul(s1, 5);
    const result = Math.imul((mixed << 7) | (mixed >>> 25), 9) >>> 0;
    const shifted = s1 << 9;
    s[2]! ^= s[0]!;
    s[3]! ^= s1;
    s[1]! ^= s[2]!;
    s[0]! ^= s[3]!;
    s[2]! ^= shifted;
    s[3] = (s[3]! << 11) | (s[3]! >>> 21);
    return result;
  }

  /** Returns a number from 0 up to but not including 1, with 53 random bits. */
  number(): number {
    return ((this.bits() >>> 5) * 0x4000000 + (this.bits() >>> 6)) / 2 ** 53;
  }

  /** Returns a version-4 UUID. */
  uuid(): string {
    const bytes = Buffer.alloc(16);
    for (let offset = 0; offset < 16; offset += 4) bytes.writeUInt32BE(this.bits(), offset);
    bytes[6] = (bytes[6]! & 0x0f) | 0x40;
    bytes[8] = (bytes[8]! & 0x3f) | 0x80;
    const hex = bytes.toString('hex');
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
  }
}
