import { useEffect, useState } from "react";
import { act } from "../state/problem";

/** What the server tells of it, asked when the view opens; undefined until then. `again` asks once more. `ask` stays the same function. */
export function useFetched<Value>(ask: () => Promise<Value>): [value: Value | undefined, again: () => Promise<void>] {
  const [value, setValue] = useState<Value>();
  useEffect(() => void act(ask).then(setValue), [ask]);
  const again = async () => {
    const told = await act(ask);
    if (told !== undefined) setValue(told); // else what was told before stands
  };
  return [value, again];
}
