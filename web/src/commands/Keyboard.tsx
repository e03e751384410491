import { caps, type Keys } from "./keys";

export function Keyboard({ keys }: { keys: Keys }) {
  return <span className="keyboard">{caps(keys).map((cap) => <kbd key={cap}>{cap}</kbd>)}</span>;
}
