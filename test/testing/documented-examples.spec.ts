import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from '@jest/globals';

const EXAMPLES = join(process.cwd(), 'test/testing/examples');
const files = readdirSync(EXAMPLES).filter((file) => file.endsWith('.ts'));

describe('docs/testing.md', () => {
  const text = readFileSync('docs/testing.md', 'utf8');

  it.each(files)('shows %s as the tests run it', (file) => {
    expect(text).toContain(`\`\`\`ts\n// ${file}\n${readFileSync(join(EXAMPLES, file), 'utf8')}\`\`\``);
  });
});
