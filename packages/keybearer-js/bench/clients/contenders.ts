/** The programs that are compared: each logs in, and makes its calls with an axios of its own. */
import axios, { type AxiosInstance, type AxiosResponse } from "axios";
import { createAuthRefresh, type AxiosAuthRefreshRequestConfig } from "axios-auth-refresh";
import { createKeybearer } from "../../src/axios.js";
import type { Description, StageUser } from "../../tests/support/stage.js";
import type { MemoryStorage } from "./storage.js";

export interface Client {
  /** With the contender's interceptors. */
  readonly http: AxiosInstance;
  login(user: StageUser): Promise<void>;
  close(): void;
}

export interface Contender {
  readonly name: string;
  /** Undefined when it has none that matters here. */
  readonly setting?: string;
  /** Clients that share a storage are as two tabs of a browser. */
  open(stage: Description, storage: MemoryStorage): Client;
}

const OURS: Contender = {
  name: "keybearer",
  open({ api, baseURL, publishableKey }, storage) {
    const http = axios.create();
    const keybearer = createKeybearer({ baseURL, apiKey: publishableKey, origins: [api], storage });
    keybearer.attach(http);
    return {
      http,
      async login({ username, password }) {
        await keybearer.login(username, password);
      },
      close: keybearer.dispose,
    };
  },
};

/** As its README has it: tokens in the storage, an interceptor that adds the current one, a refresh that stores the next. */
function authRefresh(deduplicateRefresh: boolean): Contender {
  return {
    name: "axios-auth-refresh",
    setting: `deduplicateRefresh: ${String(deduplicateRefresh)}`,
    open({ baseURL, publishableKey }, storage) {
      const http = axios.create({ headers: { "Api-Key": publishableKey } });
      http.interceptors.request.use((request) => {
        request.headers.set("Authorization", `Bearer ${storage.getItem("token") ?? ""}`);
        return request;
      });
      const obtain = async (path: string, body: object): Promise<void> => {
        const config: AxiosAuthRefreshRequestConfig = { skipAuthRefresh: true };
        const { data }: AxiosResponse<SessionDocument> = await http.post(`${baseURL}/${path}`, body, config);
        storage.setItem("token", data.data.attributes.accessToken);
        storage.setItem("refreshToken", data.data.attributes.refreshToken);
      };
      const refresh = () => obtain("oauth/token/refresh", { refresh_token: storage.getItem("refreshToken") });
      createAuthRefresh(http, refresh, { deduplicateRefresh });
      return {
        http,
        login: ({ username, password }) => obtain("oauth/token", { username, password }),
        close: () => undefined,
      };
    },
  };
}

interface SessionDocument {
  readonly data: { readonly attributes: { readonly accessToken: string; readonly refreshToken: string } };
}

/** Ours first: the others are judged beside it. */
export const CONTENDERS: readonly Contender[] = [OURS, authRefresh(true), authRefresh(false)];
