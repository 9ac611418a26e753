/** An origin that speaks HTTP/2, in front of one that does not. */
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { request, type IncomingHttpHeaders } from "node:http";
import { createSecureServer, type Http2ServerRequest, type Http2ServerResponse } from "node:http2";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";

const REPOSITORY = fileURLToPath(new URL("../../../..", import.meta.url));
const CERTIFICATE = fileURLToPath(new URL("certificate.py", import.meta.url));

/** Headers of one connection, which HTTP/2 refuses (RFC 9113 8.2.2). */
const HOP_BY_HOP = /^(connection|keep-alive|transfer-encoding)$/;

export interface H2 {
  readonly origin: string;
  close(): void;
}

/** Its certificate is signed by nobody. `upstream` is asked for at each request. */
export async function openH2(upstream: () => string): Promise<H2> {
  const pem = execFileSync(".venv/bin/python", [CERTIFICATE], { cwd: REPOSITORY });
  const server = createSecureServer({ key: pem, cert: pem }, (incoming, outgoing) => {
    passOn(upstream(), incoming, outgoing);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  return { origin: `https://127.0.0.1:${(server.address() as AddressInfo).port}`, close: () => void server.close() };
}

function passOn(upstream: string, incoming: Http2ServerRequest, outgoing: Http2ServerResponse): void {
  const { method, url } = incoming;
  const headers = without(/^:/, incoming.headers);
  const asking = request(upstream + url, { method, headers }, (answer) => {
    outgoing.writeHead(answer.statusCode ?? 502, without(HOP_BY_HOP, answer.headers));
    answer.pipe(outgoing);
  });
  asking.on("error", () => outgoing.stream.close());
  incoming.pipe(asking);
}

function without(names: RegExp, headers: IncomingHttpHeaders): IncomingHttpHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !names.test(name)));
}
