/** The balancing policies there are; a new one is a file here and a name in this list. */
import { registry } from '../../../kit/registry.ts';
import type { BalancePolicy } from './balancer.ts';
import { roundRobin } from './round-robin.ts';

export const balancePolicies: ReadonlyMap<string, BalancePolicy> = registry('balance policy', [roundRobin]);
