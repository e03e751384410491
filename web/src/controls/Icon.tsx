/** Line drawings, each with the size of its grid. */
const DRAWINGS = {
  plus: [20, "M10 4v12M4 10h12"],
  inbox: [20, "M3 11l2.2-6.5h9.6L17 11v4.5H3zM3 11h4l1 2h4l1-2h4"],
  archive: [20, "M3 4.5h14V8H3zM4.5 8v7.5h11V8M8 11h4"],
  memory: [20, "M5.5 3.5h9V17L10 13.5 5.5 17z"],
  settings: [20, "M3 6h7M14 6h3M3 14h3M10 14h7M12 4v4M8 12v4"],
  diagnostics: [20, "M3 16.5h14M5.5 13V9M10 13V4M14.5 13V7"],
  transfer: [20, "M6.5 16V4M3.5 7l3-3 3 3M13.5 4v12M10.5 13l3 3 3-3"],
  sun: [20, "M10 6.5a3.5 3.5 0 100 7 3.5 3.5 0 000-7zM10 2v1.5M10 16.5V18M2 10h1.5M16.5 10H18M4.3 4.3l1.1 1.1M14.6 14.6l1.1 1.1M4.3 15.7l1.1-1.1M14.6 5.4l1.1-1.1"],
  moon: [20, "M16 11.5A6.5 6.5 0 018.5 4 6.5 6.5 0 1016 11.5z"],
  help: [20, "M7.5 7.5a2.5 2.5 0 113.6 2.2c-.8.4-1.1.8-1.1 1.8M10 14.5v.2"],
  chats: [24, "M3 5h18M3 12h18M3 19h12"],
  fold: [24, "M4 5h16v14H4zM9.5 5v14"],
  new: [24, "M12 5v14M5 12h14"],
  search: [24, "M10.5 17a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13ZM15.5 15.5 20 20"],
  command: [24, "M5 8l4 4-4 4M12 17h7"],
} as const;

/** In the colour of the text. */
export function Icon({ name }: { name: keyof typeof DRAWINGS }) {
  const [grid, path] = DRAWINGS[name];
  return (
    <svg className="icon" viewBox={`0 0 ${String(grid)} ${String(grid)}`} width="20" height="20" aria-hidden="true">
      <path d={path} fill="none" stroke="currentColor" strokeWidth={grid * 0.07} strokeLinecap="round" strokeLinejoin="round" />
    </svg>
  );
}
