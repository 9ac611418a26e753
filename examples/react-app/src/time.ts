import { useEffect, useState } from "react";

const TICK = 250;

/** Milliseconds of a clock that never steps back, read anew four times a second. */
export function useNow(): number {
  const [now, setNow] = useState(() => performance.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(performance.now()), TICK);
    return () => clearInterval(timer);
  }, []);
  return now;
}
