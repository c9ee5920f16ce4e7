// The plots of a service: lines and a heat map over one axis of time, with one cursor for all.

import uPlot from 'uplot';
import { clock, milliseconds, number } from './format.ts';
import type { History } from './types.ts';

// Plot is one plot in an element. It tells the figures under the cursor, or the last ones.
export interface Plot {
  update: (history: History, from: number) => void;
  close: () => void;
}

export interface Line {
  name: string;
  values: (history: History) => (number | null)[];
  color: string; // the name of a variable of the style
  dash?: number[];
}

type Tell = (figures: string[], at: number | null) => void;

const height = 132;
const sync = uPlot.sync('time');

// linePlot draws lines. The tone of each is told apart by its dash as well.
export function linePlot(
  element: HTMLElement, lines: Line[], unit: (value: number | null) => string, logarithmic: boolean, tell: Tell,
): Plot {
  let range: [number, number] = [0, 1];
  const read = (plot: uPlot) => {
    const index = plot.cursor.idx ?? null;
    const at = index === null ? null : (plot.data[0][index] ?? null);
    tell(lines.map((_, i) => unit(valueAt(plot.data[i + 1], index))), at);
  };
  const plot = new uPlot(
    {
      ...common(element),
      scales: {
        x: { time: true, range: () => range },
        y: logarithmic ? { distr: 3, range: decades } : { range: (_u, _min, max) => [0, max > 0 ? max * 1.1 : 1] },
      },
      axes: [timeAxis(), { ...valueAxis(number), ...(logarithmic ? { splits: powers } : {}) }],
      series: [
        {},
        ...lines.map((line) => ({
          label: line.name,
          stroke: () => color(line.color),
          width: 1.3,
          points: { show: false },
          ...(line.dash === undefined ? {} : { dash: line.dash }),
        })),
      ],
      hooks: { setCursor: [read] },
    },
    [[], ...lines.map(() => [])],
    element,
  );
  return followSize(element, plot, {
    update(next, from) {
      range = rangeOf(next, from);
      plot.setData([times(next), ...lines.map((line) => line.values(next))]);
      read(plot);
    },
    close: () => plot.destroy(),
  });
}

// heatPlot draws how many requests took how long: the darker, the more.
export function heatPlot(element: HTMLElement, tell: Tell): Plot {
  let history: History | null = null;
  let rows: [number, number] = [0, 1]; // the rows of the heat that have something
  let range: [number, number] = [0, 1];
  const read = (plot: uPlot) => {
    const { idx, top } = plot.cursor;
    if (history === null || idx === null || idx === undefined || top === undefined || top < 0) return tell([''], null);
    const row = Math.floor(plot.posToVal(top, 'y'));
    const bound = history.heatBoundsMs[row];
    const n = history.heat[idx]?.[row] ?? 0;
    tell([bound === undefined ? '' : `${number(n)} up to ${milliseconds(bound).join(' ')}`], plot.data[0][idx] ?? null);
  };
  const bound = (row: number) => {
    const ms = history?.heatBoundsMs[Math.round(row) - 1];
    return ms === undefined ? '' : milliseconds(ms).join(' ');
  };
  const plot = new uPlot(
    {
      ...common(element),
      scales: { x: { time: true, range: () => range }, y: { range: () => rows } },
      axes: [timeAxis(), { ...valueAxis(bound), splits: () => splitsOf(rows), grid: { show: false } }],
      series: [{}, { paths: () => null, points: { show: false } }],
      hooks: { setCursor: [read], draw: [(u) => history !== null && drawHeat(u, history, rows)] },
    },
    [[], []],
    element,
  );
  return followSize(element, plot, {
    update(next, from) {
      history = next;
      rows = usedRows(next);
      range = rangeOf(next, from);
      plot.setData([times(next), next.perSecond]);
      read(plot);
    },
    close: () => plot.destroy(),
  });
}

// decades is the range of a logarithmic scale.
function decades(_plot: uPlot, min: number | null, max: number | null): [number, number] {
  const low = Math.floor(Math.log10(min ?? 1));
  return [10 ** low, 10 ** Math.max(low + 1, Math.ceil(Math.log10(max ?? 1)))];
}

function powers(_plot: uPlot, _axis: number, min: number, max: number): number[] {
  const splits = [];
  for (let power = Math.round(Math.log10(min)); 10 ** power <= max * 1.001; power++) splits.push(10 ** power);
  return splits;
}

function common(element: HTMLElement) {
  return {
    width: element.clientWidth || 300,
    height,
    legend: { show: false },
    cursor: {
      sync: { key: sync.key, setSeries: false },
      drag: { x: false, y: false, setScale: false },
      points: { show: false },
      y: false,
    },
    padding: [8, 8, 0, 0] as [number, number, number, number],
  };
}

// followSize keeps a plot as wide as its element.
function followSize(element: HTMLElement, plot: uPlot, made: Plot): Plot {
  const sizes = new ResizeObserver(() => {
    if (element.clientWidth > 0 && element.clientWidth !== plot.width) plot.setSize({ width: element.clientWidth, height });
  });
  sizes.observe(element);
  return {
    update: made.update,
    close() {
      sizes.disconnect();
      made.close();
    },
  };
}

function times(history: History): number[] {
  return history.perSecond.map((_, i) => history.from + i * history.step);
}

function rangeOf(history: History, from: number): [number, number] {
  return [from, Math.max(from + history.step, history.from + (history.perSecond.length - 1) * history.step)];
}

// valueAt is the value under the cursor, or the last that is known.
function valueAt(values: ArrayLike<number | null | undefined> | undefined, index: number | null): number | null {
  if (values === undefined) return null;
  if (index !== null) return values[index] ?? null;
  for (let i = values.length - 1; i >= Math.max(0, values.length - 3); i--) {
    const value = values[i];
    if (value !== null && value !== undefined) return value;
  }
  return null;
}

function color(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name);
}

const font = '11px ui-sans-serif, system-ui, -apple-system, "Segoe UI", Inter, Roboto, sans-serif';

function timeAxis(): uPlot.Axis {
  const now = Date.now();
  return {
    stroke: () => color('--ink2'),
    font,
    size: 24,
    gap: 4,
    space: 64,
    grid: { show: false },
    ticks: { stroke: () => color('--line'), width: 1, size: 4 },
    values: (_u, splits) => splits.map((at) => clock(at * 1000, now, at % 60 !== 0)),
  };
}

function valueAxis(text: (value: number) => string): uPlot.Axis {
  return {
    stroke: () => color('--ink2'),
    font,
    size: 52,
    gap: 6,
    space: 28,
    grid: { stroke: () => color('--line2'), width: 1 },
    ticks: { show: false },
    values: (_u, splits) => splits.map((value) => text(value)),
  };
}

// usedRows are the rows of the heat that have something, and one more at each side.
function usedRows(history: History): [number, number] {
  let [low, high] = [history.heatBoundsMs.length, 0];
  for (const column of history.heat) {
    for (let row = 0; row < column.length; row++) {
      if ((column[row] ?? 0) === 0) continue;
      low = Math.min(low, row);
      high = Math.max(high, row + 1);
    }
  }
  return low >= high ? [0, 1] : [Math.max(0, low - 1), Math.min(history.heatBoundsMs.length, high + 1)];
}

function splitsOf([low, high]: [number, number]): number[] {
  const step = Math.max(1, Math.ceil((high - low) / 4));
  const splits = [];
  for (let row = low + 1; row <= high; row += step) splits.push(row);
  return splits;
}

// drawHeat draws a cell for each step and row. The tone goes with the logarithm, so that the few
// slow requests are seen beside the many fast ones.
function drawHeat(plot: uPlot, history: History, [low, high]: [number, number]): void {
  const { ctx, bbox } = plot;
  const most = history.heat.reduce((most, column) => Math.max(most, ...column), 1);
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  ctx.fillStyle = color('--accent');
  history.heat.forEach((column, i) => {
    const at = history.from + i * history.step;
    const left = plot.valToPos(at - history.step / 2, 'x', true);
    const width = Math.max(1, plot.valToPos(at + history.step / 2, 'x', true) - left - 0.5);
    for (let row = low; row < high; row++) {
      const n = column[row] ?? 0;
      if (n === 0) continue;
      const top = plot.valToPos(row + 1, 'y', true);
      ctx.globalAlpha = 0.12 + 0.88 * (Math.log1p(n) / Math.log1p(most));
      ctx.fillRect(left, top, width, Math.max(1, plot.valToPos(row, 'y', true) - top - 0.5));
    }
  });
  ctx.restore();
}
