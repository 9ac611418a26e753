/** An origin with a user's files and one resource, `/notes`, that notes the Api-Keys with which it is asked. */
import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join } from "node:path";

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".mjs": "text/javascript; charset=utf-8",
};

export interface Site {
  readonly origin: string;
  /** The Api-Key of each request for `/notes` since the last call; undefined for none. */
  takeKeys(): (string | undefined)[];
  close(): Promise<void>;
}

export async function openSite(folder: string): Promise<Site> {
  let keys: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    if (request.url !== "/notes") {
      void serveFile(folder, request, response);
      return;
    }
    keys.push(request.headers["api-key"]?.toString());
    response.setHeader("Content-Type", "application/json").end("[]");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    origin: `http://127.0.0.1:${port}`,
    takeKeys() {
      const taken = keys;
      keys = [];
      return taken;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        server.closeAllConnections();
      }),
  };
}

async function serveFile(folder: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { pathname } = new URL(request.url ?? "/", "http://site");
  const content = await readFile(join(folder, pathname)).catch(() => undefined);
  response.writeHead(content ? 200 : 404, { "Content-Type": TYPES[extname(pathname)] ?? "application/octet-stream" });
  response.end(content);
}
