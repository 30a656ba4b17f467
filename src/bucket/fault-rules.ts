/** Injected faults as data: their schema, and which of them meets a call. Pure. */
import * as z from "zod";
import { BUCKET_METHODS, type BucketMethod, type FaultRule, methodClass } from "../shared/protocol";

const MAX_RULES = 32;
const MAX_LATENCY_MS = 600_000;
/** At most one of these says how a call goes wrong; with none it fails with `error_code`. */
const MODES = ["hang", "lose_reply", "land_late", "truncate_body"] as const;

const ruleSchema = z
  .strictObject({
    operations: z.union([z.enum(["read", "write", "all"]), z.array(z.enum(BUCKET_METHODS)).min(1)]),
    error_rate: z.number().min(0).max(1).optional(),
    error_code: z.int().min(0).max(999_999).optional(),
    latency_ms: z.number().min(0).max(MAX_LATENCY_MS).optional(),
    hang: z.boolean().optional(),
    truncate_body: z.boolean().optional(),
    lose_reply: z.boolean().optional(),
    land_late: z.boolean().optional(),
    expires_at: z.iso.datetime({ offset: true }).optional(),
  })
  .refine((rule) => MODES.filter((mode) => rule[mode] === true).length <= 1)
  .refine((rule) => rule.land_late !== true || rule.latency_ms !== undefined);

const rulesSchema = z.array(ruleSchema).max(MAX_RULES);

const ALLOWED: Readonly<Record<string, string>> = {
  operations: `"read", "write", "all", or a list out of ${BUCKET_METHODS.join(", ")}`,
  error_rate: "a number from 0 to 1",
  error_code: "R2's code, a whole number such as 10001",
  latency_ms: `a number of milliseconds from 0 to ${MAX_LATENCY_MS}`,
  hang: "true or false",
  truncate_body: "true or false",
  lose_reply: "true or false",
  land_late: "true or false",
  expires_at: "an ISO 8601 time such as 2026-01-31T12:00:00Z",
};

/** `null` when `rules` is a list of fault rules, else a sentence that says what is allowed. */
export function faultProblem(rules: unknown): string | null {
  const parsed = rulesSchema.safeParse(rules);
  if (parsed.success) return null;
  const [issue] = parsed.error.issues;
  const [index, field] = issue?.path ?? [];
  if (typeof index !== "number") return `faults must be a list of at most ${MAX_RULES} rules.`;
  if (typeof field === "string") return `faults[${index}].${field} must be ${ALLOWED[field] ?? "left out"}.`;
  if (issue?.code === "custom") {
    return `faults[${index}] may say one of ${MODES.join(", ")}, and land_late needs latency_ms.`;
  }
  return `faults[${index}] must be an object with operations, and out of ${Object.keys(ALLOWED).slice(1).join(", ")}.`;
}

/** The rules, parsed. Throws when `faultProblem` has something to say. */
export function parseFaults(rules: unknown): FaultRule[] {
  // Fields that were left out stay out: zod's optional fields never come back as an explicit undefined.
  return rulesSchema.parse(rules) as FaultRule[];
}

function names(rule: FaultRule, method: BucketMethod): boolean {
  const { operations } = rule;
  if (operations === "all") return true;
  if (operations === "read" || operations === "write") return methodClass(method) === operations;
  return operations.includes(method);
}

export function isExpired(rule: FaultRule, now: number): boolean {
  return rule.expires_at !== undefined && Date.parse(rule.expires_at) <= now;
}

/** The first rule that names the method, has not expired and fires by its `error_rate`; null: the call goes through. */
export function firingRule(
  rules: readonly FaultRule[],
  method: BucketMethod,
  now: number,
  random: () => number,
): FaultRule | null {
  for (const rule of rules) {
    if (names(rule, method) && !isExpired(rule, now) && random() < (rule.error_rate ?? 1)) return rule;
  }
  return null;
}

/** What a rule does to a call, after its `latency_ms`. */
export type FaultEffect =
  | { readonly kind: "hang" | "lose_reply" | "land_late" | "truncate_body" | "delay" }
  | { readonly kind: "error"; readonly code: number };

const INTERNAL_ERROR = 10001;

export function faultEffect(rule: FaultRule): FaultEffect {
  for (const kind of MODES) if (rule[kind] === true) return { kind };
  const onlyDelays = rule.latency_ms !== undefined && rule.error_code === undefined && rule.error_rate === undefined;
  return onlyDelays ? { kind: "delay" } : { kind: "error", code: rule.error_code ?? INTERNAL_ERROR };
}
