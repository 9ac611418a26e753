import type { ReactNode } from "react";

export function KeyIcon(): ReactNode {
  return (
    <svg className="key" viewBox="0 0 24 24" aria-hidden="true">
      <circle cx="7.5" cy="12" r="4" />
      <path d="M11.5 12H20v4M16.5 12v3" />
    </svg>
  );
}
