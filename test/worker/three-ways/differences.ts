/** Where an outage answers otherwise than R2 does. `row` begins the row of the README's table that says why. */
export const DIFFERENCES = {
  unknown: {
    row: "reading a key of which nothing is queued",
    answer: { error: "SERVICE_UNAVAILABLE" },
    needs: "reads",
  },
  condition: {
    row: "a condition on a key of which nothing is queued",
    answer: { error: "CONDITION_UNVERIFIABLE" },
    needs: "reads",
  },
  list: {
    row: "`list`",
    answer: { error: "SERVICE_UNAVAILABLE" },
    needs: "reads",
  },
  customerKey: {
    row: "`put` with a customer's key",
    answer: { error: "SSEC_NEEDS_ENCRYPTION" },
    needs: "writes",
  },
} as const satisfies Record<string, { row: string; answer: unknown; needs: "reads" | "writes" }>;

export type Difference = keyof typeof DIFFERENCES;
