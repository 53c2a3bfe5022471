import type { ChaosReport } from './chaos.js';

const MAX_SHOWN_PROBLEMS = 10;
/** Largest number of characters of one problem. A long stack would hide the other problems. */
const MAX_PROBLEM_LENGTH = 600;

/** The report as text: the seed first, and of each failed check what is wrong. */
export function describeReport({ seed, facts, checks }: ChaosReport): string {
  const lines = [`seed ${seed}`, ...facts.map((fact) => `  ${fact}`)];
  for (const { name, problems } of checks) {
    lines.push(`${problems.length === 0 ? 'ok    ' : 'FAILED'} ${name}`);
    lines.push(...problems.slice(0, MAX_SHOWN_PROBLEMS).map((problem) => `         ${problem.slice(0, MAX_PROBLEM_LENGTH)}`));
    if (problems.length > MAX_SHOWN_PROBLEMS) lines.push(`         and ${problems.length - MAX_SHOWN_PROBLEMS} more`);
  }
  return lines.join('\n');
}

export function failedChecks({ checks }: ChaosReport): string[] {
  return checks.filter(({ problems }) => problems.length > 0).map(({ name }) => name);
}
