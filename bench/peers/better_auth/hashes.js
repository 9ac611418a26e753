// `node hashes.js <seconds> <password>`: hashes a second, one after the other.
import { hashPassword } from "better-auth/crypto";

const [seconds, password] = process.argv.slice(2);
const began = performance.now();
let count = 0;
let spent = 0;
while (spent < Number(seconds) * 1000) {
  await hashPassword(password);
  count += 1;
  spent = performance.now() - began;
}
console.log((count / spent) * 1000);
