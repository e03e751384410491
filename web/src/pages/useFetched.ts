import { useEffect, useState } from "react";
import { act } from "../state/problem";

/** What the server tells of it, asked when the view opens; undefined until then. `again` asks once more. */
export function useFetched<Value>(ask: () => Promise<Value>): [value: Value | undefined, again: () => Promise<void>] {
  const [value, setValue] = useState<Value>();
  const again = (): Promise<void> => act(ask).then((told) => { if (told !== undefined) setValue(told); });
  // eslint-disable-next-line react-hooks/exhaustive-deps -- once, when it opens
  useEffect(() => void again(), []);
  return [value, again];
}
