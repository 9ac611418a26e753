/** The command: plays every scenario with every contender, and says what came of it. */
import { writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { startStage, type Stage } from "../../tests/support/stage.js";
import { CONTENDERS, type Contender } from "./contenders.js";
import { measure, prepare, type Measured, type Scenario, type Scene } from "./measure.js";
import { heading, json, makeRow, markdown, text, type Row } from "./report.js";
import { LIFETIME, RETRY_WINDOW, SCENARIOS } from "./scenarios.js";

const DOCUMENT = fileURLToPath(new URL("../../../../docs/clients-compared.md", import.meta.url));

/** Milliseconds beyond the lifetime: the last token that was issued has then expired too. */
const SETTLING = 500;

/** `--record` writes docs/clients-compared.md; `--json` prints JSON instead of tables. */
export async function main(argv: string[]): Promise<void> {
  const options = { record: { type: "boolean" }, json: { type: "boolean" } } as const;
  const { values } = parseArgs({ args: argv, options });
  const print = (printed: string): void => void process.stdout.write(printed);
  const stage = await startStage({
    settings: {
      KEYBEARER_ACCESS_TOKEN_LIFETIME: `${LIFETIME}`,
      KEYBEARER_REFRESH_RETRY_WINDOW: `${RETRY_WINDOW}`,
    },
  });
  try {
    if (!values.json) print(heading());
    const rows = await play(stage, values.json ? () => undefined : (row) => print(text(row)));
    if (values.json) print(json(rows));
    if (values.record) writeFileSync(DOCUMENT, markdown(rows));
  } finally {
    await stage.close();
  }
}

interface Part {
  readonly scenario: Scenario;
  readonly scenes: readonly (readonly [Contender, Scene])[];
}

/** All log in first, so that their tokens expire in the same few seconds; then the scenarios follow one another. */
async function play(stage: Stage, tell: (row: Row) => void): Promise<Row[]> {
  const parts: Part[] = [];
  for (const scenario of SCENARIOS) {
    const scenes: [Contender, Scene][] = [];
    for (const contender of CONTENDERS) scenes.push([contender, await prepare(stage, contender, scenario)]);
    parts.push({ scenario, scenes });
  }
  await sleep(LIFETIME * 1000 + SETTLING);
  const rows: Row[] = [];
  for (const { scenario, scenes } of parts) {
    const measured: [Contender, Measured][] = [];
    for (const [contender, scene] of scenes) measured.push([contender, await measure(scenario, scene)]);
    const row = makeRow(scenario, measured);
    rows.push(row);
    tell(row);
  }
  return rows;
}
