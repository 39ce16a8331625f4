// Lines over time, drawn by uPlot on a canvas; the same as a table for whoever asks.

import { useEffect, useRef, useState, useSyncExternalStore } from "react";
import "./language.js"; // before uPlot
import uPlot from "uplot";
import type { Plot } from "./figures.js";
import { amount, count, hourAndMinute, milliseconds, timeOfDay } from "./format.js";

const HEIGHT_PX = 140;
// Colours alone are not for everybody.
const STYLES = [{ width: 2 }, { width: 2, dash: [5, 3] }, { width: 1.25 }, { width: 2, dash: [2, 3] }];
/** What is drawn, and how. Latencies are measured now and then: each is a point. */
const KINDS = {
  rate: { format: amount, points: false, whole: false },
  count: { format: count, points: false, whole: true },
  latency: { format: milliseconds, points: true, whole: false },
} as const;
const STEPS = [1, 2, 5]
  .flatMap((one) => [0, 1, 2, 3, 4, 5, 6, 7].map((power) => one * 10 ** power))
  .sort((a, b) => a - b);
const dark = matchMedia("(prefers-color-scheme: dark)");

interface ChartProps {
  /** What it shows, with its unit. */
  readonly title: string;
  readonly plot: Plot;
  readonly kind: keyof typeof KINDS;
}

interface Hover {
  readonly index: number;
  readonly left: number;
  readonly width: number;
}

export function Chart({ title, plot, kind }: ChartProps) {
  const { format } = KINDS[kind];
  const box = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot>(undefined);
  const [hover, setHover] = useState<Hover>();
  const [asTable, setAsTable] = useState(false);
  const isDark = useSyncExternalStore(watchScheme, () => dark.matches);
  const labels = plot.lines.map(({ label }) => label).join("\n");

  useEffect(() => {
    const place = box.current;
    if (!place) return;
    const options = optionsFor(place, labels.split("\n"), kind, setHover);
    const drawn = new uPlot(options, [[]], place);
    chart.current = drawn;
    const sizes = new ResizeObserver(() => drawn.setSize({ width: place.clientWidth, height: HEIGHT_PX }));
    sizes.observe(place);
    return () => {
      sizes.disconnect();
      drawn.destroy();
    };
  }, [labels, isDark, kind]);

  useEffect(() => {
    chart.current?.setData([[...plot.times], ...plot.lines.map(({ values }) => [...values])]);
  }, [plot, labels, isDark, kind]);

  return (
    <figure className="chart">
      <figcaption>
        {title}
        <button type="button" className="link" aria-expanded={asTable} onClick={() => setAsTable(!asTable)}>
          {asTable ? "Hide the table" : "As a table"}
          <span className="hidden">: {title}</span>
        </button>
      </figcaption>
      <div className="plot" aria-hidden="true">
        <div ref={box} />
        {hover && <Tooltip hover={hover} plot={plot} format={format} />}
      </div>
      {asTable && <AsTable title={title} plot={plot} format={format} />}
    </figure>
  );
}

function watchScheme(tell: () => void): () => void {
  dark.addEventListener("change", tell);
  return () => dark.removeEventListener("change", tell);
}

function optionsFor(
  place: HTMLElement,
  labels: readonly string[],
  kind: keyof typeof KINDS,
  hover: (hover: Hover | undefined) => void,
): uPlot.Options {
  const { format, points, whole } = KINDS[kind];
  const [ink, grid] = [colour(place, "--quiet"), colour(place, "--line")];
  const font = `11px ${getComputedStyle(place).fontFamily}`;
  const axis = { stroke: ink, font, grid: { stroke: grid, width: 1 }, ticks: { show: false } };
  return {
    width: place.clientWidth,
    height: HEIGHT_PX,
    padding: [8, 20, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
    scales: { y: { range: (_plot, _min, max) => [0, max > 0 ? max * 1.1 : 1] } },
    axes: [
      { ...axis, size: 24, space: 60, values: (_plot, splits) => splits.map((s) => hourAndMinute(s * 1000)) },
      { ...axis, size: 52, space: 32, ...(whole && { incrs: STEPS }), values: (_plot, splits) => splits.map(format) },
    ],
    series: [
      {},
      ...labels.map((label, index) => ({
        label,
        stroke: colour(place, `--series-${index + 1}`),
        ...STYLES[index],
        ...(index === 0 && !points && { fill: faint(colour(place, "--series-1")) }),
        spanGaps: points,
        points: points ? { show: true, size: 5 } : { show: false },
      })),
    ],
    hooks: {
      setCursor: [
        ({ cursor: { idx, left }, over }) =>
          hover(
            typeof idx === "number" && left !== undefined && left >= 0
              ? { index: idx, left: left + over.offsetLeft, width: over.offsetLeft + over.clientWidth }
              : undefined,
          ),
      ],
    },
  };
}

/** What a variable comes to: a canvas knows neither variables nor light-dark(). */
function colour(place: HTMLElement, variable: string): string {
  place.style.color = `var(${variable})`;
  const { color } = getComputedStyle(place);
  place.style.color = "";
  return color;
}

function faint(color: string): string {
  return `color-mix(in srgb, ${color} 14%, transparent)`;
}

interface Values {
  readonly plot: Plot;
  readonly format: (value: number) => string;
}

function Tooltip({ hover: { index, left, width }, plot, format }: Values & { readonly hover: Hover }) {
  const time = plot.times[index];
  if (time === undefined) return null;
  const side = left < width / 2 ? { left: left + 12 } : { right: `calc(100% - ${left - 12}px)` };
  return (
    <div className="tooltip" style={side}>
      <b>{timeOfDay(time * 1000)}</b>
      {plot.lines.map(({ label, values }, line) => (
        <span key={label}>
          <i className="swatch" data-line={line} />
          {label} <b>{shown(values[index], format)}</b>
        </span>
      ))}
    </div>
  );
}

function AsTable({ title, plot, format }: Values & { readonly title: string }) {
  return (
    <div className="scroll" tabIndex={0} role="region" aria-label={`${title}, table`}>
      <table>
        <thead>
          <tr>
            <th scope="col">From</th>
            {plot.lines.map(({ label }) => (
              <th key={label} scope="col" className="number">
                {label}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {plot.times.map((time, index) => (
            <tr key={time}>
              <th scope="row">{timeOfDay(time * 1000)}</th>
              {plot.lines.map(({ label, values }) => (
                <td key={label} className="number">
                  {shown(values[index], format)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function shown(value: number | null | undefined, format: (value: number) => string): string {
  return value === null || value === undefined ? "–" : format(value);
}
