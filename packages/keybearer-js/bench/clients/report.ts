/** The figures as text, as Markdown and for programs. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import axios from "axios";
import type { Contender } from "./contenders.js";
import type { Measured, Scenario } from "./measure.js";
import { LIFETIME, RETRY_WINDOW } from "./scenarios.js";

/** How well it went, beside what keybearer did. */
type Verdict = "the same" | "better" | "worse" | "better and worse";

export interface Result {
  readonly client: string;
  readonly setting: string | undefined;
  readonly figures: Measured;
  /** Undefined for keybearer itself. */
  readonly verdict: Verdict | undefined;
}

export interface Row {
  readonly scenario: string;
  readonly counted: string;
  readonly results: readonly Result[];
}

const FIGURES = ["succeeded", "failed", "refreshes", "hits", "leaked", "lost"] as const;

/** The first of `measured` is keybearer's. */
export function makeRow({ name, counted }: Scenario, measured: readonly (readonly [Contender, Measured])[]): Row {
  const [, ours] = measured[0] ?? [];
  const results = measured.map(([contender, figures]) => ({
    client: contender.name,
    setting: contender.setting,
    figures,
    verdict: !ours || figures === ours ? undefined : judge(figures, ours),
  }));
  return { scenario: name, counted, results };
}

/** Failures, lost sessions and leaks decide; where they are equal, refreshes do, and then hits. */
function judge(theirs: Measured, ours: Measured): Verdict {
  for (const names of [["failed", "lost", "leaked"], ["refreshes"], ["hits"]] as const) {
    const isBetter = names.some((name) => theirs[name] < ours[name]);
    const isWorse = names.some((name) => theirs[name] > ours[name]);
    if (isBetter && isWorse) return "better and worse";
    if (isBetter || isWorse) return isBetter ? "better" : "worse";
  }
  return "the same";
}

// --- text -------------------------------------------------------------------------------------------------------------

const WIDTHS = [64, ...FIGURES.map((name) => name.length)];

export function heading(): string {
  return `${line(["", ...FIGURES, "beside keybearer"])}\n`;
}

export function text({ scenario, counted, results }: Row): string {
  const lines = merged(results).map((result) => line([`  ${nameOf(result)}`, ...cells(result)]));
  return `\n${scenario}\n  ${counted}\n${lines.join("\n")}\n`;
}

function line(texts: readonly string[]): string {
  return texts
    .map((cell, column) => (column === 0 ? cell.padEnd(WIDTHS[0] ?? 0) : cell.padStart(WIDTHS[column] ?? 0)))
    .join("  ")
    .trimEnd();
}

// --- Markdown ---------------------------------------------------------------------------------------------------------

export function markdown(rows: readonly Row[]): string {
  const head = ["#", "scenario", "client", ...FIGURES, "beside keybearer"];
  const table = [head, head.map(() => "---"), ...rows.flatMap(tableRows)].map((cells) => `| ${cells.join(" | ")} |`);
  const sentences = rows.map(({ scenario, counted }, at) => `${at + 1}. *${scenario}*: ${counted}`);
  return `${introduction()}\n${summary(rows)}\n\n${table.join("\n")}\n\n## What each scenario counts\n\n${sentences.join("\n")}\n`;
}

function introduction(): string {
  const { versions, date } = circumstances();
  const named = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return `# keybearer/axios beside axios-auth-refresh

Written by \`make bench-clients ARGS=--record\` on ${date}: ${named.join(", ")}.

Each scenario is played by each client against the same service and the same guarded example, behind proxies that make
the faults. Access tokens live ${LIFETIME} s, the retry window is ${RETRY_WINDOW} s (60 s by default). axios-auth-refresh is set up as its
README shows, with \`deduplicateRefresh\` as it is by default (true) and without it; what its program does beyond the
README is to send the Api-Key and the refresh token (\`packages/keybearer-js/bench/clients/contenders.ts\`).

*succeeded* and *failed* are calls, as their caller sees them; *refreshes* and *hits* are requests that arrived at the
service and at the example; *leaked* are requests that arrived at an origin that is nobody's with the Api-Key or the
token on them; *lost* are clients whose calls still fail when the faults are gone. The last column is about failures,
lost sessions and leaks; where they are equal, about refreshes, and then about hits.
`;
}

/** How often each setting did as well, better and worse. */
function summary(rows: readonly Row[]): string {
  const verdicts: readonly Verdict[] = ["the same", "better", "worse", "better and worse"];
  const lines = (rows[0]?.results ?? []).flatMap((first, at) => {
    if (!first.verdict) return [];
    const counts = verdicts.map((verdict) => rows.filter(({ results }) => results[at]?.verdict === verdict).length);
    const told = verdicts.map((verdict, which) => `${verdict} in ${counts[which] ?? 0}`).filter((_, i) => counts[i]);
    return [`- ${nameOf(first)}: ${told.join(", ")} of ${rows.length} scenarios.`];
  });
  return lines.join("\n");
}

function tableRows({ scenario, results }: Row, at: number): string[][] {
  return merged(results).map((result, which) => [
    ...(which === 0 ? [`${at + 1}`, scenario] : ["", ""]),
    nameOf(result),
    ...cells(result),
  ]);
}

// --- both -------------------------------------------------------------------------------------------------------------

/** Results of the same client that are equal are one. */
function merged(results: readonly Result[]): Result[] {
  const kept = new Map<string, Result>();
  for (const result of results) {
    const key = JSON.stringify([result.client, result.figures]);
    const same = kept.get(key);
    kept.set(key, same ? { ...result, setting: "either setting" } : result);
  }
  return [...kept.values()];
}

function nameOf({ client, setting }: Result): string {
  return setting === undefined ? client : `${client}, ${setting}`;
}

function cells({ figures, verdict }: Result): string[] {
  return [...FIGURES.map((name) => `${figures[name]}`), verdict ?? ""];
}

// --- programs ---------------------------------------------------------------------------------------------------------

export function json(rows: readonly Row[]): string {
  return `${JSON.stringify({ ...circumstances(), settings: { accessTokenLifetime: LIFETIME, refreshRetryWindow: RETRY_WINDOW }, rows }, null, 2)}\n`;
}

function circumstances(): { date: string; versions: Record<string, string> } {
  const peer = createRequire(import.meta.url).resolve("axios-auth-refresh");
  return {
    date: new Date().toISOString().slice(0, 10),
    versions: {
      keybearer: versionIn(fileURLToPath(new URL("../..", import.meta.url))),
      "axios-auth-refresh": versionIn(dirname(dirname(peer))),
      axios: axios.VERSION,
      Node: process.versions.node,
    },
  };
}

function versionIn(folder: string): string {
  return (JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { version: string }).version;
}
