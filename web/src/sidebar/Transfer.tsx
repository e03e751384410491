import { lazy, Suspense } from "react";
import { useStore } from "../state/store";
import { transferOpen } from "./transferOpen";

const TransferDialog = lazy(async () => ({ default: (await import("./TransferDialog")).TransferDialog }));

/** The dialog "Import and export", where it is open; it needs no sidebar. */
export function Transfer() {
  if (!useStore(transferOpen)) return null;
  return <Suspense><TransferDialog onClose={() => transferOpen.put(false)} /></Suspense>;
}
