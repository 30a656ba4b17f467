/** Injected faults as data: which of them meets a call, and what it does. Pure. */
import { type BucketMethod, type FaultRule, methodClass } from "../shared/protocol";

/** At most one of these says how a call goes wrong; with none it fails with `error_code`. */
export const FAULT_MODES = ["hang", "lose_reply", "land_late", "truncate_body"] as const;

function names(rule: FaultRule, method: BucketMethod, keys: string | readonly string[]): boolean {
  const { operations, key_prefix: prefix } = rule;
  if (prefix !== undefined && ![keys].flat().some((key) => key.startsWith(prefix))) return false;
  if (operations === "all") return true;
  if (operations === "read" || operations === "write") return methodClass(method) === operations;
  return operations.includes(method);
}

export function isExpired(rule: FaultRule, now: number): boolean {
  return rule.expires_at !== undefined && Date.parse(rule.expires_at) <= now;
}

/** The first rule that names the method and one of the keys, has not expired and fires by its `error_rate`; null: the call goes through. */
export function firingRule(
  rules: readonly FaultRule[],
  method: BucketMethod,
  keys: string | readonly string[],
  now: number,
  random: () => number,
): FaultRule | null {
  for (const rule of rules) {
    if (names(rule, method, keys) && !isExpired(rule, now) && random() < (rule.error_rate ?? 1)) return rule;
  }
  return null;
}

/** What a rule does to a call, after its `latency_ms`. */
export type FaultEffect =
  | { readonly kind: "hang" | "lose_reply" | "land_late" | "truncate_body" | "delay" }
  | { readonly kind: "error"; readonly code: number };

const INTERNAL_ERROR = 10001;

export function faultEffect(rule: FaultRule): FaultEffect {
  for (const kind of FAULT_MODES) if (rule[kind] === true) return { kind };
  const onlyDelays = rule.latency_ms !== undefined && rule.error_code === undefined && rule.error_rate === undefined;
  return onlyDelays ? { kind: "delay" } : { kind: "error", code: rule.error_code ?? INTERNAL_ERROR };
}
