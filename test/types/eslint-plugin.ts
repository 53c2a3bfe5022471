// The types of `nestjs-durable/eslint` name no type of ESLint, and fit those of ESLint 9 and 10.
import type { ESLint, Linter } from 'eslint';
import { defineConfig } from 'eslint/config';
import type { ESLint as ESLint9, Linter as Linter9 } from 'eslint-9';
import { defineConfig as defineConfig9 } from 'eslint-9/config';

import durable, * as named from '../../src/eslint/index.js';

export const plugins: ESLint.Plugin[] = [durable, named];
export const plugins9: ESLint9.Plugin[] = [durable, named];
export const configs: Linter.Config[] = [durable.configs.recommended, { plugins: { 'nestjs-durable': durable } }];
export const configs9: Linter9.Config[] = [durable.configs.recommended, { plugins: { 'nestjs-durable': durable } }];
export const defined = [defineConfig(configs, durable.configs.recommended), defineConfig9(configs9, durable.configs.recommended)];
// @ts-expect-error -- there is no such rule
export const missing = durable.rules['no-clocks'];
