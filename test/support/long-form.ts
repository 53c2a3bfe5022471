import { it } from '@jest/globals';

/** A long test with a sibling in short form; runs with DURABLE_CHAOS=1. */
export const itLong: typeof it.skip = process.env['DURABLE_CHAOS'] ? it : it.skip;
