/** SQL files are imported as text (wrangler's default module rule, also under Vitest). */
declare module "*.sql" {
  const text: string;
  export default text;
}
