import { Store } from "../state/store";

/** Whether the dialog "Import and export" is open: the sidebar shows it, and anybody may open it. */
export const transferOpen = new Store(false);

export function openTransfer(): void {
  transferOpen.put(true);
}
