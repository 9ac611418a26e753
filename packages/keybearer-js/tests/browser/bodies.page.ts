/** The program, with bodies of every kind to send. */
import { program } from "./program.page.js";

const TEXT = "Größe ☂ 1 + 1 & = %20\r\n";
const BYTES = Uint8Array.from({ length: 3_000 }, (_, index) => index % 256);

function form(): FormData {
  const fields = new FormData();
  fields.append("text", TEXT);
  fields.append("file", new File([BYTES], "bytes.bin", { type: "application/octet-stream" }));
  return fields;
}

function stream(): ReadableStream<Uint8Array> {
  const pieces = ['{"text":', '"in pieces"}'];
  return new ReadableStream<string>({
    pull(controller) {
      const piece = pieces.shift();
      if (piece === undefined) controller.close();
      else controller.enqueue(piece);
    },
  }).pipeThrough(new TextEncoderStream());
}

/** Bodies that both axios and fetch take. */
const BODIES = {
  arrayBuffer: () => BYTES.slice().buffer,
  blob: () => new Blob([BYTES], { type: "image/png" }),
  formData: form,
  string: () => TEXT,
  typedArray: () => BYTES.subarray(10, 20),
  urlSearchParams: () =>
    new URLSearchParams([
      ["text", TEXT],
      ["text", "again"],
    ]),
} satisfies Record<string, () => BodyInit>;

let transformed = 0;

/** What axios makes a body or a URL of. */
const CONFIGS = {
  json: () => ({ data: { text: TEXT, list: [1, null, { deep: true }] } }),
  urlEncoded: () => ({
    data: { text: TEXT, list: [1, 2] },
    headers: { "Content-Type": "application/x-www-form-urlencoded" },
  }),
  multipart: () => ({ data: { text: TEXT, list: [1, 2] }, headers: { "Content-Type": "multipart/form-data" } }),
  paramsArray: () => ({ method: "GET", params: { tag: ["a", "b ä"], at: new Date(0) } }),
  // Would send another text each time that it runs.
  customTransform: () => ({ data: { text: TEXT }, transformRequest: () => `transformed ${(transformed += 1)}` }),
};

export type BodyKind = keyof typeof BODIES;
export type ConfigKind = keyof typeof CONFIGS;

declare global {
  interface Window {
    /** Each sends to `url`; the result is the answer's status. */
    readonly sendBody: (url: string, kind: BodyKind) => Promise<number>;
    readonly sendConfig: (url: string, kind: ConfigKind) => Promise<number>;
    /** Sends a new note as a stream; the result is the answer's status, or the error's code. */
    readonly sendStream: (url: string) => Promise<string>;
  }
}

Object.assign(window, {
  async sendBody(url: string, kind: BodyKind) {
    const body = BODIES[kind]();
    const isByFetch = window.options?.transport === "fetch";
    const { status } = await (isByFetch
      ? program.fetchWithCredentials(url, { method: "POST", body, headers: { "X-Request-Id": "one" } })
      : program.axios.post(url, body, { headers: { "X-Request-Id": "one" } }));
    return status;
  },
  async sendConfig(url: string, kind: ConfigKind) {
    const { status } = await program.axios.request({ url, method: "POST", ...CONFIGS[kind]() });
    return status;
  },
  async sendStream(url: string) {
    const headers = { "Content-Type": "application/json" };
    const sending =
      window.options?.transport === "fetch"
        ? program.fetchWithCredentials(url, { method: "POST", headers, body: stream(), duplex: "half" } as RequestInit)
        : program.axios.post(url, stream(), { headers });
    return sending.then(
      ({ status }) => String(status),
      (error: unknown) => (error as { code?: string }).code ?? String(error),
    );
  },
});
