import { useEffect, useState } from "react";

const hasFiles = (event: DragEvent): boolean => event.dataTransfer?.types.includes("Files") ?? false;

/** Takes files that are dropped anywhere on the page, unless they are another's; true while some are held over it. */
export function useDrop(onFiles: (files: FileList) => void, disabled: boolean): boolean {
  const [isOver, setOver] = useState(false);
  useEffect(() => {
    const take = (event: DragEvent): boolean => {
      if (!hasFiles(event) || event.defaultPrevented) return false;
      event.preventDefault(); // else the browser would go to the file, and leave the page
      return !disabled && !document.querySelector("dialog[open]");
    };
    const over = (event: DragEvent) => setOver(take(event));
    const leave = (event: DragEvent) => event.relatedTarget === null && setOver(false);
    const drop = (event: DragEvent) => {
      setOver(false);
      if (take(event) && event.dataTransfer) onFiles(event.dataTransfer.files);
    };
    addEventListener("dragover", over);
    addEventListener("dragleave", leave);
    addEventListener("drop", drop);
    return () => {
      removeEventListener("dragover", over);
      removeEventListener("dragleave", leave);
      removeEventListener("drop", drop);
    };
  }, [onFiles, disabled]);
  return isOver;
}
