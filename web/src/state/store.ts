import { useSyncExternalStore } from "react";

/** A value that views follow. It is replaced, never changed in place. */
export class Store<Value> {
  #value: Value;
  readonly #listeners = new Set<() => void>();

  constructor(value: Value) {
    this.#value = value;
  }

  readonly read = (): Value => this.#value;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };

  put(value: Value): void {
    if (Object.is(value, this.#value)) return;
    this.#value = value;
    for (const listener of [...this.#listeners]) listener();
  }
}

export function useStore<Value>(store: Pick<Store<Value>, "read" | "subscribe">): Value {
  return useSyncExternalStore(store.subscribe, store.read);
}
