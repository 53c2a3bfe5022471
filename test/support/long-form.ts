import { it } from '@jest/globals';

/** What takes long, and has a sibling in the short form: with DURABLE_CHAOS=1. */
export const itLong: typeof it.skip = process.env['DURABLE_CHAOS'] ? it : it.skip;
