import { parsed, recall, remember } from "./remembered";
import { Store } from "./store";

/** A store whose value this browser remembers under `legato.<name>`, and which its other tabs follow. */
export class Kept<Value> extends Store<Value> {
  readonly #key: string;

  /** `isValid` refuses what an older page, or a person, may have left there. */
  constructor(name: string, initial: Value, isValid: (found: unknown) => boolean) {
    const key = `legato.${name}`;
    const valid = (found: unknown): Value => (isValid(found) ? (found as Value) : initial);
    super(valid(recall(key)));
    this.#key = key;
    addEventListener("storage", (event) => {
      if (event.key === key) super.put(valid(parsed(event.newValue)));
    });
  }

  override put(value: Value): void {
    remember(this.#key, value);
    super.put(value);
  }
}
