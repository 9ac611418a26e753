/** A tab with the program in it, as the tests use it. */
import type { Page } from "playwright-core";
import type { Entry } from "../../src/record.js";
import type { StageUser } from "../support/stage.js";
import type { Outcome, Sending, Told } from "./program.page.js";

export interface Tab {
  readonly page: Page;
  login(user?: StageUser): Promise<void>;
  send(url: string, sending?: Sending): Promise<Outcome>;
  /** Empty when it went well, else the error's code. */
  refresh(): Promise<string>;
  /** The events since the page was loaded; with a name, those. */
  told(name?: Told["name"]): Promise<Told[]>;
  /** What localStorage holds. */
  stored(): Promise<Entry | null>;
  /** Makes the access token that localStorage holds one that the service and the guard refuse: as if it were over. */
  spoilToken(): Promise<void>;
  /** Until the access token that localStorage holds is over for the service and for everyone else. */
  untilTokenEnds(): Promise<void>;
}

/** Loads `url`. Who logs in and says nothing else is `user`. */
export async function openTab(page: Page, url: string, user: StageUser): Promise<Tab> {
  await page.goto(url);
  return {
    page,
    login: ({ username, password } = user) =>
      page.evaluate(([name, word]) => window.client.login(name, word).then(() => undefined), [
        username,
        password,
      ] as const),
    send: (to, sending = {}) => page.evaluate(([at, how]) => window.send(at, how), [to, sending] as const),
    refresh: () => page.evaluate(() => window.refresh()),
    told: (name) => page.evaluate((only) => window.told.filter((event) => !only || event.name === only), name),
    stored: () => page.evaluate(() => JSON.parse(localStorage.getItem("keybearer") ?? "null") as Entry | null),
    spoilToken: () =>
      page.evaluate(() => {
        const { session, ...entry } = JSON.parse(localStorage.getItem("keybearer") ?? "{}") as Entry;
        const accessToken = session?.accessToken.replace(/.{6}$/, "AAAAAA");
        localStorage.setItem("keybearer", JSON.stringify({ ...entry, session: { ...session, accessToken } }));
      }),
    async untilTokenEnds() {
      await page.waitForFunction(
        () => {
          const { session } = JSON.parse(localStorage.getItem("keybearer") ?? "{}") as Partial<Entry>;
          // The device's idea of the service's clock is half a second off at most, and tokens end on whole seconds.
          return session && Date.now() + session.clockOffset > session.expiresAt + 1_000;
        },
        undefined,
        { polling: 100 }, // not with the frames: a hidden tab has none
      );
    },
  };
}
