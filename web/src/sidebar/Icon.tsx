/** Line drawings on a grid of 20, in the colour of the text. */
const PATHS = {
  plus: "M10 4v12M4 10h12",
  inbox: "M3 11l2.2-6.5h9.6L17 11v4.5H3zM3 11h4l1 2h4l1-2h4",
  archive: "M3 4.5h14V8H3zM4.5 8v7.5h11V8M8 11h4",
  memory: "M5.5 3.5h9V17L10 13.5 5.5 17z",
  settings: "M3 6h7M14 6h3M3 14h3M10 14h7M12 4v4M8 12v4",
  diagnostics: "M3 16.5h14M5.5 13V9M10 13V4M14.5 13V7",
  transfer: "M6.5 16V4M3.5 7l3-3 3 3M13.5 4v12M10.5 13l3 3 3-3",
  sun: "M10 6.5a3.5 3.5 0 100 7 3.5 3.5 0 000-7zM10 2v1.5M10 16.5V18M2 10h1.5M16.5 10H18M4.3 4.3l1.1 1.1M14.6 14.6l1.1 1.1M4.3 15.7l1.1-1.1M14.6 5.4l1.1-1.1",
  moon: "M16 11.5A6.5 6.5 0 018.5 4 6.5 6.5 0 1016 11.5z",
  help: "M7.5 7.5a2.5 2.5 0 113.6 2.2c-.8.4-1.1.8-1.1 1.8M10 14.5v.2",
} as const;

export function Icon({ name }: { name: keyof typeof PATHS }) {
  return (
    <svg className="icon" viewBox="0 0 20 20" aria-hidden="true">
      <path d={PATHS[name]} fill="none" stroke="currentColor" strokeWidth="1.5" strokeLinecap="round" strokeLinejoin="round" />
    </svg>
  );
}
