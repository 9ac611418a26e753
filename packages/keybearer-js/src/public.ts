/** What every entry exports beside its `createKeybearer`. */

export type { Core, CoreOptions, LogoutOutcome } from "./core.js";
export {
  ApiKeyError,
  ConfigurationError,
  isKeybearerError,
  KeybearerError,
  NonReplayableBodyError,
  RefreshUnavailableError,
  ServiceError,
  ServiceUnavailableError,
  SessionExpiredError,
} from "./errors.js";
export type { EventName, KeybearerEvents, Listener } from "./events.js";
export type { User } from "./record.js";
export type { SessionState } from "./state.js";
export type { TokenStorage } from "./storage.js";
