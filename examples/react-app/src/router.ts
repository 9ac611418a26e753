/** As much of a router as three pages need. */
import { useSyncExternalStore } from "react";

export function navigate(address: string): void {
  history.pushState(null, "", address);
  window.dispatchEvent(new PopStateEvent("popstate"));
}

export function usePath(): string {
  return useSyncExternalStore(subscribe, () => location.pathname);
}

/** The login page, with the way back to where the person is; `reason` is why they are sent there. */
export function loginAddress(reason?: "ended"): string {
  const query = new URLSearchParams({ returnTo: location.pathname + location.search, ...(reason && { reason }) });
  return `/login?${query}`;
}

function subscribe(listener: () => void): () => void {
  window.addEventListener("popstate", listener);
  return () => window.removeEventListener("popstate", listener);
}
