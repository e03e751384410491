import { useEffect, useRef, useSyncExternalStore } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { stacked, stepOf, type Lines } from "./series";

export interface Look {
  /** Names of colours of tokens.css, one a line. */
  colours: readonly string[];
  kind: "line" | "step" | "bars";
  /** What is counted comes in whole numbers. */
  whole: boolean;
  x: (seconds: number) => string;
  y: (value: number) => string;
}

const HEIGHT = 180;
const WHOLE = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000];

/** A picture of lines, for the eye alone: what it says stands in a table beside it. */
export function Plot({ lines, look }: { lines: Lines; look: Look }) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(null);
  const shown = useRef({ lines, look });
  const scheme = useSyncExternalStore(watchScheme, schemeNow);
  useEffect(() => {
    shown.current = { lines, look };
    plot.current?.setData(dataOf(lines, look));
  }, [lines, look]);
  const shape = `${scheme} ${look.kind} ${look.colours.join(" ")}`;
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const { lines: first, look: how } = shown.current;
    const made = new uPlot(optionsOf(how, shown, element.clientWidth, stepOf(first)), dataOf(first, how), element);
    plot.current = made;
    const resizing = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: HEIGHT }));
    resizing.observe(element);
    return () => {
      resizing.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [shape]);
  return <div ref={box} className="plot" aria-hidden="true" />;
}

function dataOf({ times, values }: Lines, { kind }: Look): uPlot.AlignedData {
  return [[...times], ...(kind === "bars" ? stacked(values) : values.map((line) => [...line]))];
}

function optionsOf(look: Look, shown: React.RefObject<{ look: Look }>, width: number, step: number): uPlot.Options {
  const style = getComputedStyle(document.documentElement);
  const colour = (name: string): string => style.getPropertyValue(`--${name}`).trim();
  const axis: uPlot.Axis = {
    stroke: colour("muted"),
    font: `11px ${style.getPropertyValue("--sans")}`,
    grid: { stroke: colour("line"), width: 1 },
    ticks: { show: false },
  };
  const names = look.kind === "bars" ? [...look.colours].reverse() : look.colours;
  return {
    width,
    height: HEIGHT,
    padding: [8, 8, 0, 0],
    cursor: { show: false },
    legend: { show: false },
    scales: { x: { time: true, range: (_, from, to) => [from - step / 2, to + step / 2] }, y: { range: (_, __, most) => [0, most > 0 ? most * 1.1 : 1] } },
    axes: [
      { ...axis, grid: { show: false }, space: 64, size: 28, values: (_, splits) => splits.map((at) => shown.current.look.x(at)) },
      { ...axis, size: 58, ...(look.whole ? { incrs: WHOLE } : {}), values: (_, splits) => splits.map((value) => shown.current.look.y(value)) },
    ],
    series: [{}, ...names.map((name) => seriesOf(look.kind, colour(name)))],
  };
}

function seriesOf(kind: Look["kind"], colour: string): uPlot.Series {
  if (kind === "bars") return { stroke: colour, fill: colour, width: 0, points: { show: false }, ...pathsOf(uPlot.paths.bars?.({ size: [0.75, 28] })) };
  if (kind === "step") return { stroke: colour, width: 1.5, points: { show: false }, ...pathsOf(uPlot.paths.stepped?.({ align: -1 })) };
  return { stroke: colour, width: 1.5, spanGaps: true, points: { show: true, size: 5, fill: colour } };
}

const pathsOf = (paths: uPlot.Series.PathBuilder | undefined) => (paths ? { paths } : {});

/** Colours of a canvas do not follow the page by themselves. */
function watchScheme(listener: () => void): () => void {
  const watching = new MutationObserver(listener);
  watching.observe(document.documentElement, { attributeFilter: ["data-theme", "data-text-size"] });
  return () => watching.disconnect();
}
const schemeNow = (): string => document.documentElement.dataset["theme"] ?? "";
