import { useCallback, useEffect, useState } from "react";
import { explain } from "./explain.js";

export interface Resource<T> {
  /** Undefined until it has been loaded. */
  readonly value: T | undefined;
  /** What went wrong last, as a sentence. */
  readonly problem: string | undefined;
  /** Does something and loads the value anew; whether it went well. */
  readonly change: (action: () => Promise<unknown>) => Promise<boolean>;
}

/** What `load`, which must stay the same function, answers. */
export function useResource<T>(load: () => Promise<T>): Resource<T> {
  const [value, setValue] = useState<T>();
  const [problem, setProblem] = useState<string>();

  const change = useCallback(
    async (action: () => Promise<unknown>) => {
      try {
        await action();
        setValue(await load());
        setProblem(undefined);
        return true;
      } catch (error) {
        setProblem(explain(error));
        return false;
      }
    },
    [load],
  );

  useEffect(() => {
    load().then(setValue, (error: unknown) => setProblem(explain(error)));
  }, [load]);
  return { value, problem, change };
}
