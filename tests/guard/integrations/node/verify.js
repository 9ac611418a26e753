// Says which access tokens jose takes: {url, issuer, audience, tokens} on standard input, {name: taken} on output.
import { readFileSync } from "node:fs";
import { createRemoteJWKSet, jwtVerify } from "jose";

const { url, issuer, audience, tokens } = JSON.parse(readFileSync(0, "utf8"));
const keys = createRemoteJWKSet(new URL(url));
const options = {
  issuer,
  audience,
  typ: "at+jwt",
  algorithms: ["ES256"],
  requiredClaims: ["sub", "client_id", "exp", "iat"],
};

const taken = {};
for (const [name, token] of Object.entries(tokens)) {
  taken[name] = await jwtVerify(token, keys, options).then(
    () => true,
    () => false,
  );
}
console.log(JSON.stringify(taken));
