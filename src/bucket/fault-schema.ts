/** The schema of fault rules that come from outside. Apart from the rules, so that application Workers need no zod. */
import * as z from "zod";
import { BUCKET_METHODS, type FaultRule } from "../shared/protocol";
import { FAULT_MODES } from "./fault-rules";

const MAX_RULES = 32;
const MAX_LATENCY_MS = 600_000;
const MAX_PREFIX = 1_024;
const ruleSchema = z
  .strictObject({
    operations: z.union([z.enum(["read", "write", "all"]), z.array(z.enum(BUCKET_METHODS)).min(1)]),
    key_prefix: z.string().min(1).max(MAX_PREFIX).optional(),
    error_rate: z.number().min(0).max(1).optional(),
    error_code: z.int().min(0).max(999_999).optional(),
    latency_ms: z.number().min(0).max(MAX_LATENCY_MS).optional(),
    hang: z.boolean().optional(),
    truncate_body: z.boolean().optional(),
    lose_reply: z.boolean().optional(),
    land_late: z.boolean().optional(),
    expires_at: z.iso.datetime({ offset: true }).optional(),
  })
  .refine((rule) => FAULT_MODES.filter((mode) => rule[mode] === true).length <= 1)
  .refine((rule) => rule.land_late !== true || rule.latency_ms !== undefined);

export const rulesSchema = z.array(ruleSchema).max(MAX_RULES);

const ALLOWED: Readonly<Record<string, string>> = {
  operations: `"read", "write", "all", or a list out of ${BUCKET_METHODS.join(", ")}`,
  key_prefix: `the beginning of the keys concerned, 1 to ${MAX_PREFIX} characters`,
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
    return `faults[${index}] may say one of ${FAULT_MODES.join(", ")}, and land_late needs latency_ms.`;
  }
  return `faults[${index}] must be an object with operations, and out of ${Object.keys(ALLOWED).slice(1).join(", ")}.`;
}

/** The rules, parsed. Throws when `faultProblem` has something to say. */
export function parseFaults(rules: unknown): FaultRule[] {
  // Fields that were left out stay out: zod's optional fields never come back as an explicit undefined.
  return rulesSchema.parse(rules) as FaultRule[];
}
