// Pure: the scheme for new writes. From spec.redundancy, else from the number of farmers (the smaller of wanted and
// met). A shrink that would lower the promise f is refused unless spec.redundancy says so.
import type { Scheme } from '#node/wire/types.ts';
import { defaultScheme, promiseOf } from '#node/core/schemes.ts';

export interface RedundancyInput {
  spec: Scheme | undefined;
  /** spec.farmers.replicas. */
  wanted: number;
  /** Slots that exist now. */
  existing: number;
  /** Met and neither leaving nor lost. */
  active: number;
  inForce: Scheme | undefined;
}

type RedundancyProblem = { reason: 'RedundancyUnmet' | 'PromiseWouldFall'; message: string };

export interface RedundancyAnswer {
  scheme: Scheme;
  /** It is what the spec asks for, not a stopgap while farmers are missing or something forbids it. */
  isFinal: boolean;
  problem?: RedundancyProblem;
}

export function nextRedundancy(input: RedundancyInput): RedundancyAnswer {
  const answer = schemeFor(input);
  const { required, optimal } = input.spec ?? defaultScheme(input.wanted);
  return { ...answer, isFinal: answer.scheme.required === required && answer.scheme.optimal === optimal };
}

function schemeFor({ spec, wanted, existing, active, inForce }: RedundancyInput): Omit<RedundancyAnswer, 'isFinal'> {
  const met = Math.max(1, active);
  if (spec) {
    if (spec.total <= wanted) return { scheme: spec };
    return {
      scheme: inForce ?? defaultScheme(Math.min(wanted, met)),
      problem: {
        reason: 'RedundancyUnmet',
        message: `spec.redundancy.total is ${spec.total}, but spec.farmers.replicas is ${wanted}: raise replicas to at least ${spec.total}, or lower redundancy.`,
      },
    };
  }
  const promise = promiseOf(defaultScheme(existing));
  const promiseThen = promiseOf(defaultScheme(wanted));
  if (wanted >= existing || promiseThen >= promise) return { scheme: defaultScheme(Math.min(wanted, met)) };
  return {
    scheme: inForce ?? defaultScheme(Math.min(existing, met)),
    problem: {
      reason: 'PromiseWouldFall',
      message: `With ${wanted} farmers only ${promiseThen} may vanish after a write, now ${promise}. If that is wanted, set spec.redundancy for ${wanted} farmers, e.g. ${JSON.stringify(defaultScheme(wanted))}; else set spec.farmers.replicas back to ${existing}.`,
    },
  };
}
