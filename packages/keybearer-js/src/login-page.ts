/** The way to the login page when a session has ended, and back. */

const RETURN_TO = "returnTo";
const MOST = 3;
const WITHIN = 10_000;
const HISTORY = "keybearer.redirects";

/** Sends the browser to the login page with the address to come back to, unless it is there, or came three times in 10 s. */
export function goToLogin(loginPage: string): void {
  if (typeof location === "undefined") return;
  const target = new URL(loginPage, location.href);
  const isThere = target.origin === location.origin && target.pathname === location.pathname;
  if ((isThere && (!target.hash || target.hash === location.hash)) || isLooping()) return;
  if (target.origin === location.origin)
    target.searchParams.set(RETURN_TO, location.pathname + location.search + location.hash);
  location.assign(target);
}

/** The address that the person wanted before the login page, always of this origin; `fallback` without one. */
export function returnAddress(fallback = "/"): string {
  if (typeof location === "undefined") return fallback;
  const wanted = new URLSearchParams(location.search).get(RETURN_TO);
  if (!wanted) return fallback;
  try {
    const url = new URL(wanted, location.origin);
    // A path that begins with two slashes would be another host.
    const path = url.pathname.replace(/^\/+/, "/") + url.search + url.hash;
    return url.origin === location.origin ? path : fallback;
  } catch {
    return fallback;
  }
}

/** Counted in sessionStorage: each redirect loads the page anew. A page without it keeps no session that could loop. */
function isLooping(): boolean {
  try {
    const now = Date.now();
    const recent = (sessionStorage.getItem(HISTORY) ?? "")
      .split(" ")
      .map(Number)
      .filter((at) => Math.abs(now - at) < WITHIN);
    if (recent.length >= MOST) return true;
    sessionStorage.setItem(HISTORY, [...recent, now].join(" "));
    return false;
  } catch {
    return false;
  }
}
