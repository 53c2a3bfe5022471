import type { DiscoveryService } from '@nestjs/core';

import { WorkflowConfigurationError } from '../../core/errors/index.js';
import type { Warn } from '../../core/log-fields.js';
import { hasWorkflowMetadata } from '../../core/workflow-metadata.js';
import { classOf, declarationsOf } from '../decorators/step-declarations.js';
import { adoptOverrides, adoptSubstitute, fieldsInPlaceOfSteps } from '../decorators/step-overrides.js';
import { hasStepsName, namingClassOf, stepsNameOf } from '../decorators/steps-of.js';

type Wrapper = ReturnType<DiscoveryService['getProviders']>[number];

/** Pattern of the class name that `mixin()` of Nest generates. */
const MIXIN = /^[\da-f]{21}$/;

const HOW_TO_NAME = `Give each class a stable name: @StepsOf('...'), or @Step({ name: '...' }) on the method`;

/**
 * Prepares the steps of all providers. Turns overrides of steps into steps, and refuses two classes
 * that use the same step name. Results are recorded under the step name, so one class could receive
 * the results of the other.
 *
 * @param warn called with a message about names that the next build may change, or about fields
 *   that replace steps
 * @throws WorkflowConfigurationError
 */
export function prepareSteps(discovery: DiscoveryService, warn: Warn): void {
  const owners = new Map<string, { readonly owner: object; readonly label: string }>();
  const renamed = new Set<string>();
  const fields: string[] = [];
  for (const wrapper of discovery.getProviders()) {
    const { target, type } = callTarget(wrapper);
    if (!target) continue;
    adoptOverrides(target);
    adoptSubstituteOf(wrapper.token, target);
    if (type && (wrapper.isTransient || !wrapper.isDependencyTreeStatic())) fields.push(...fieldsInPlaceOfSteps(type, target));
    // Skip workflows. The name of a workflow's own step is the method name alone, and only runs of
    // that workflow use the name.
    if (!type || wrapper.isAlias || isWorkflow(type) || hasWorkflowMetadata(wrapper.token)) continue;
    for (const [method, declaration] of declarationsOf(target)) {
      const derived = `${stepsNameOf(type)}.${method}`;
      if (declaration.name === undefined && looksRenamed(type)) renamed.add(checkRenamed(type, derived));
      const name = declaration.name ?? derived;
      const label = `${namingClassOf(type).name}.${method}`;
      const owner = declaration.name === undefined ? type : declaration;
      const other = owners.get(name);
      if (!other) owners.set(name, { owner, label });
      else if (other.owner !== owner) {
        throw new WorkflowConfigurationError(
          `${other.label} and ${label} of another class would both be recorded as step "${name}": their results could be swapped. ${HOW_TO_NAME}`,
        );
      }
    }
  }
  if (fields.length > 0) {
    warn(
      'step-field',
      `module: ${fields.join(', ')}: each pass executes a field that replaces a step again, because its class is not a singleton. ` +
        'Make it a method',
    );
  }
  if (renamed.size === 0 || process.env['NODE_ENV'] === 'test') return;
  warn(
    'minified-names',
    `module: the class names of these steps look like those of a minified build: ${[...renamed].join(', ')}. Another build may choose other names, and runs ` +
      `in progress could not continue. Let the bundler keep class names (esbuild: keepNames; terser: keep_classnames). ${HOW_TO_NAME}`,
  );
}

/**
 * Creates a function that records which class uses which step name in a workflow. The function
 * refuses a conflict that the boot cannot see: two classes with the same name whose instances are
 * created by hand.
 */
export function createNameRegistry(workflow: string): (name: string, owner: object) => void {
  const owners = new Map<string, object>();
  return (name, owner) => {
    const known = owners.get(name);
    if (known === owner) return;
    if (known === undefined) return void owners.set(name, owner);
    // No conflict: a class expression inside a function creates a new class at each call, with the
    // same source.
    if (typeof known === 'function' && typeof owner === 'function' && known.toString() === owner.toString()) return;
    throw new WorkflowConfigurationError(
      `two classes have a step "${name}" in workflow "${workflow}": their recorded results could be swapped. ${HOW_TO_NAME}`,
    );
  };
}

/**
 * Returns the object whose methods workflows call: the instance, or the prototype if instances are
 * created later.
 */
function callTarget({ instance, metatype, inject, isNotMetatype }: Wrapper): { target?: object; type?: Function | undefined } {
  if (typeof instance === 'object' && instance !== null) return { target: instance as object, type: classOf(instance) };
  const isClass = typeof metatype === 'function' && !inject && !isNotMetatype && typeof metatype.prototype === 'object';
  return isClass ? { target: metatype.prototype as object, type: metatype } : {};
}

function adoptSubstituteOf(token: unknown, target: object): void {
  const prototype: unknown = typeof token === 'function' ? token.prototype : undefined;
  if (typeof prototype !== 'object' || prototype === null || prototype === target || prototype.isPrototypeOf(target)) return;
  adoptSubstitute(target, token as Function);
}

function isWorkflow(type: Function): boolean {
  for (let current: unknown = type; typeof current === 'function'; current = Object.getPrototypeOf(current))
    if (hasWorkflowMetadata(current)) return true;
  return false;
}

/**
 * Recognizes class names that a bundler or minifier may have created: `n`, `aB`, `Notifier$1`. In a
 * minified class, three letters count too, unless they look like a word or an abbreviation.
 */
function looksRenamed(type: Function): boolean {
  const named = namingClassOf(type);
  if (hasStepsName(named)) return false;
  const { name } = named;
  return (
    name.length <= 2 ||
    MIXIN.test(name) ||
    /\$\d+$/.test(name) ||
    (name.length === 3 && isMinified(named) && !/^[A-Z]([a-z]{2}|[A-Z]{2})$/.test(name))
  );
}

/**
 * Checks a class whose name may have been changed by the build.
 *
 * @returns the name of the step, for a warning
 * @throws WorkflowConfigurationError when the build has certainly changed the name
 */
function checkRenamed(type: Function, step: string): string {
  const named = namingClassOf(type);
  if (MIXIN.test(named.name)) {
    throw new WorkflowConfigurationError(
      `step "${step}" contains the class name that mixin() of Nest creates, which differs in each process. ${HOW_TO_NAME}`,
    );
  }
  if (!isMinified(named)) return step;
  throw new WorkflowConfigurationError(
    `step "${step}" contains a class name that a minifier has created: the next build may give that name to another class, whose steps ` +
      `would get the results recorded for this one. Let the bundler keep class names (esbuild: keepNames; terser: keep_classnames). ${HOW_TO_NAME}`,
  );
}

/**
 * Returns true when the source of a class is minified (`class n{charge(){`) and the original name
 * of the class is lost. A bundler that keeps class names gives the class a `name` other than the
 * identifier in the source.
 */
function isMinified(type: Function): boolean {
  const source = Function.prototype.toString.call(type);
  const brace = source.indexOf('{');
  if (!source.startsWith('class') || brace < 0 || /\s/.test(source.slice(brace - 1, brace + 2).replace('{', ''))) return false;
  const identifier = /^class\s+(?!extends\b)([\w$]+)/.exec(source)?.[1];
  return identifier === undefined || identifier === type.name;
}
