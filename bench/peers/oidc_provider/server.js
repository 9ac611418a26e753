// node oidc-provider with everything in memory: `node server.js <port> <directory> <round>`. Before it listens it makes
// the sessions of the round and writes their tokens into the directory.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Provider } from "oidc-provider";

const [port, directory, round, checks, refreshes] = process.argv.slice(2);
const CLIENT = "bench";
const SCOPE = "openid offline_access";

/** The storage of every model in one Map each: the adapter that comes with the package forgets after 1,000 entries. */
class Memory {
  static stores = new Map();
  static grants = new Map();

  constructor(model) {
    this.store = Memory.stores.get(model) ?? new Map();
    Memory.stores.set(model, this.store);
  }

  async upsert(id, payload) {
    this.store.set(id, payload);
    if (payload.grantId) this.remember(payload.grantId, id);
  }

  remember(grantId, id) {
    const members = Memory.grants.get(grantId) ?? [];
    members.push([this.store, id]);
    Memory.grants.set(grantId, members);
  }

  async find(id) {
    return this.store.get(id);
  }

  async consume(id) {
    this.store.get(id).consumed = Math.floor(Date.now() / 1000);
  }

  async destroy(id) {
    this.store.delete(id);
  }

  async revokeByGrantId(grantId) {
    for (const [store, id] of Memory.grants.get(grantId) ?? []) store.delete(id);
    Memory.grants.delete(grantId);
  }
}

// ID tokens come with every refresh; ES256 is what Keybearer signs its access tokens with. A key of this run's own, as
// the package asks for.
async function signingKey() {
  const { privateKey } = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign"]);
  return { ...(await crypto.subtle.exportKey("jwk", privateKey)), use: "sig", alg: "ES256", key_ops: undefined };
}

// A public client, as a browser is; its refresh tokens rotate by default, and this says so. Access tokens are opaque.
const provider = new Provider(`http://127.0.0.1:${port}`, {
  adapter: Memory,
  clients: [
    {
      client_id: CLIENT,
      token_endpoint_auth_method: "none",
      redirect_uris: ["https://app.example.com/callback"],
      grant_types: ["authorization_code", "refresh_token"],
      id_token_signed_response_alg: "ES256",
    },
  ],
  jwks: { keys: [await signingKey()] },
  cookies: { keys: ["bench"] },
  features: { devInteractions: { enabled: false } },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  rotateRefreshToken: true,
  ttl: { AccessToken: 3600, Grant: 86400, IdToken: 3600, RefreshToken: 86400 },
});

/** A session's token, made by the package's own models as its authorization code flow makes it. */
async function makeToken(Model, number) {
  const accountId = `user${number}`;
  const grant = new provider.Grant({ accountId, clientId: CLIENT });
  grant.addOIDCScope(SCOPE);
  const grantId = await grant.save();
  const client = await provider.Client.find(CLIENT);
  const token = new Model({ accountId, client, grantId, gty: "authorization_code", scope: SCOPE });
  return token.save();
}

async function writeTokens(name, Model, count) {
  const tokens = [];
  for (let number = 0; number < count; number += 1) tokens.push(await makeToken(Model, number));
  writeFileSync(join(directory, name), tokens.join("\n") + "\n");
}

await writeTokens("access", provider.AccessToken, Number(checks));
await writeTokens(`refresh-${round}`, provider.RefreshToken, Number(refreshes));
provider.listen(Number(port), "127.0.0.1");
