// Lines over time, drawn by uPlot on a canvas; the same as a table for whoever asks.

import { useEffect, useRef, useState, useSyncExternalStore } from "react";
import uPlot from "uplot";
import type { Plot } from "./figures.js";
import { hourAndMinute, timeOfDay } from "./format.js";

const HEIGHT_PX = 140;
const DASHES = [[], [6, 3], [2, 3], [9, 3, 2, 3]]; // colours alone are not for everybody
const dark = matchMedia("(prefers-color-scheme: dark)");

interface ChartProps {
  /** What it shows, with its unit. */
  readonly title: string;
  readonly plot: Plot;
  readonly format: (value: number) => string;
  /** Measured now and then: each value is a point. */
  readonly points?: boolean;
}

interface Hover {
  readonly index: number;
  readonly left: number;
  readonly width: number;
}

export function Chart({ title, plot, format, points = false }: ChartProps) {
  const box = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot>(undefined);
  const [hover, setHover] = useState<Hover>();
  const [asTable, setAsTable] = useState(false);
  const isDark = useSyncExternalStore(watchScheme, () => dark.matches);
  const labels = plot.lines.map(({ label }) => label).join("\n");

  useEffect(() => {
    const place = box.current;
    if (!place) return;
    const options = optionsFor(place, labels.split("\n"), { format, points, hover: setHover });
    const drawn = new uPlot(options, [[]], place);
    chart.current = drawn;
    const sizes = new ResizeObserver(() => drawn.setSize({ width: place.clientWidth, height: HEIGHT_PX }));
    sizes.observe(place);
    return () => {
      sizes.disconnect();
      drawn.destroy();
    };
  }, [labels, isDark, format, points]);

  useEffect(() => {
    chart.current?.setData([[...plot.times], ...plot.lines.map(({ values }) => [...values])]);
  }, [plot, labels, isDark, format, points]);

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

interface Drawing {
  readonly format: (value: number) => string;
  readonly points: boolean;
  readonly hover: (hover: Hover | undefined) => void;
}

function optionsFor(place: HTMLElement, labels: readonly string[], { format, points, hover }: Drawing): uPlot.Options {
  const [ink, grid] = [colour(place, "--quiet"), colour(place, "--line")];
  const font = `11px ${getComputedStyle(place).fontFamily}`;
  const axis = { stroke: ink, font, grid: { stroke: grid, width: 1 }, ticks: { show: false } };
  return {
    width: place.clientWidth,
    height: HEIGHT_PX,
    padding: [8, 8, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
    scales: { y: { range: (_plot, _min, max) => [0, max > 0 ? max * 1.1 : 1] } },
    axes: [
      { ...axis, size: 24, space: 60, values: (_plot, splits) => splits.map((s) => hourAndMinute(s * 1000)) },
      { ...axis, size: 52, space: 32, values: (_plot, splits) => splits.map(format) },
    ],
    series: [
      {},
      ...labels.map((label, index) => ({
        label,
        stroke: colour(place, `--series-${index + 1}`),
        width: 2,
        dash: DASHES[index] ?? [],
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
