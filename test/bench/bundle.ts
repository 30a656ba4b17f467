import { build } from "esbuild";

/** A Worker's module with all that it imports, as Miniflare takes it. */
export async function bundle(entry: string): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    write: false,
    format: "esm",
    platform: "neutral",
    mainFields: ["module", "main"],
    conditions: ["workerd", "worker", "import"],
    external: ["cloudflare:*", "node:*"],
    loader: { ".sql": "text" },
  });
  const [bundled] = outputFiles;
  if (bundled === undefined) throw new Error("esbuild wrote nothing");
  return bundled.text;
}
