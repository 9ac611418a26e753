/** The clients of this page, made once, before React draws anything. */
import axios from "axios";
import { createKeybearer } from "keybearer/axios";
import { log } from "./log.js";
import { loginAddress, navigate } from "./router.js";

/** Takes its Api-Key from REACT_APP_AUTH_API_KEY. */
export const keybearer = createKeybearer({
  baseURL: process.env.REACT_APP_AUTH_URL,
  origins: [process.env.REACT_APP_API_URL],
  proactive: false, // so that there is a 401 to see; a page with nothing to demonstrate leaves this out
  onSessionExpired: () => navigate(loginAddress("ended")),
});

/** The notes service (examples/fastapi-service), which verifies both credentials by itself. */
export const service = axios.create({ baseURL: process.env.REACT_APP_API_URL, timeout: 20_000 });

log.watchEvents(keybearer);
log.watchCalls(service);
keybearer.attach(service);
