import { Store } from "../state/store";

/** Whether the dialog "Import and export" is open: anybody may open it. */
export const transferOpen = new Store(false);

export function openTransfer(): void {
  transferOpen.put(true);
}
