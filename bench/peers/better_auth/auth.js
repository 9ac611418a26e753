// better-auth as its installation page sets it up: SQLite by better-sqlite3, e-mail and password. The bearer plugin lets
// a session's token come in the Authorization header. A check reads session and user, which is the default.
import { join } from "node:path";
import { betterAuth } from "better-auth";
import { bearer } from "better-auth/plugins";
import Database from "better-sqlite3";

const database = new Database(join(process.env.BENCH_DIRECTORY, "bench.db"));
database.pragma("journal_mode = WAL"); // as better-sqlite3 advises
database.pragma("synchronous = FULL"); // as Keybearer's

export const auth = betterAuth({
  baseURL: "http://127.0.0.1",
  secret: "a key of this benchmark's own, long enough for HS256",
  database,
  emailAndPassword: { enabled: true },
  plugins: [bearer()],
  rateLimit: { enabled: false }, // one address asks for everybody
  telemetry: { enabled: false },
  logger: { level: "warn" },
});
