import { Store } from "./store";

/** A store whose value this browser remembers under `legato.<name>`, and which its other tabs follow. */
export class Kept<Value> extends Store<Value> {
  readonly #key: string;

  /** `isValid` refuses what an older page, or a person, may have left there. */
  constructor(name: string, initial: Value, isValid: (found: unknown) => boolean) {
    const key = `legato.${name}`;
    const found = (text: string | null): Value => {
      const value = parsed(text);
      return isValid(value) ? (value as Value) : initial;
    };
    super(found(localStorage.getItem(key)));
    this.#key = key;
    addEventListener("storage", (event) => {
      if (event.key === key) super.put(found(event.newValue));
    });
  }

  override put(value: Value): void {
    try {
      localStorage.setItem(this.#key, JSON.stringify(value));
    } catch {
      // The room is used up, or there is none in this window: then it holds as long as the tab.
    }
    super.put(value);
  }
}

function parsed(text: string | null): unknown {
  try {
    return text === null ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}
