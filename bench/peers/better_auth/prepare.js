// `node prepare.js <tokens> <password>`: the database, users with one password, and tokens of sessions, as files a line
// each in BENCH_DIRECTORY.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { hashPassword } from "better-auth/crypto";
import { getMigrations } from "better-auth/db/migration";
import { auth } from "./auth.js";

const USERS = 100;
const [checks, password] = process.argv.slice(2);

function write(name, lines) {
  writeFileSync(join(process.env.BENCH_DIRECTORY, name), lines.join("\n") + "\n");
}

async function makeUser(store, number, hashed) {
  const user = await store.createUser({ email: `user${number}@example.com`, name: "User", emailVerified: true });
  await store.linkAccount({ userId: user.id, providerId: "credential", accountId: user.id, password: hashed });
  return user;
}

const { runMigrations } = await getMigrations(auth.options);
await runMigrations();
const { internalAdapter: store } = await auth.$context;
const hashed = await hashPassword(password);
const users = [];
for (let number = 0; number < USERS; number += 1) users.push(await makeUser(store, number, hashed));
const tokens = [];
for (let number = 0; number < Number(checks); number += 1) {
  tokens.push((await store.createSession(users[number % USERS].id)).token);
}
write(
  "users",
  users.map((user) => `${user.email} ${password}`),
);
write("access", tokens);
