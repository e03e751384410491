import { useSyncExternalStore } from "react";

const narrow = matchMedia("(max-width: 46rem)");
export const isPhone = (): boolean => narrow.matches;

function subscribe(listener: () => void): () => void {
  narrow.addEventListener("change", listener);
  return () => narrow.removeEventListener("change", listener);
}

export const usePhone = (): boolean => useSyncExternalStore(subscribe, isPhone);
