// Plots are those of a service, a method or an instance.

import { useEffect, useRef, useState } from 'preact/hooks';
import { explain, get, pathOf, queryOf } from './api.ts';
import { clock, milliseconds, number } from './format.ts';
import { mergeHistory } from './history.ts';
import { heatPlot, linePlot, type Line, type Plot } from './plot.ts';
import type { History } from './types.ts';

// The step of the history is 10 s: the last one grows while it is being drawn.
const every = 2000;

const rate: Line[] = [{ name: 'calls', values: (h) => h.perSecond, color: '--accent' }];
const errors: Line[] = [{ name: 'errors', values: (h) => h.errorPercent, color: '--bad' }];
const latency: Line[] = [
  { name: 'p50', values: (h) => positive(h.p50Ms), color: '--p50', dash: [2, 2] },
  { name: 'p90', values: (h) => positive(h.p90Ms), color: '--p90', dash: [6, 2] },
  { name: 'p99', values: (h) => positive(h.p99Ms), color: '--p99' },
];

// positive keeps latencies on the logarithmic scale, on which p50 is seen below a high p99.
function positive(values: (number | null)[]): (number | null)[] {
  return values.map((value) => (value === null ? null : Math.max(value, 0.001)));
}

export function Plots(props: { service: string; method: string; instance: string; seconds: number; theme: string }) {
  const { service, method, instance, seconds } = props;
  const [history, problem] = useHistory(service, method, instance, seconds);
  if (history === null) {
    return problem === '' ? <div class="plots loading" role="status" aria-label="Loading" /> : <div class="note">{problem}</div>;
  }
  const end = history.from + history.perSecond.length * history.step;
  const given = { history, from: end - seconds, theme: props.theme };
  return (
    <div class="plots">
      <PlotPanel {...given} title="Calls" lines={rate} unit={(v) => number(v) + ' /s'} />
      <PlotPanel {...given} title="Errors" lines={errors} unit={(v) => number(v) + ' %'} />
      <PlotPanel {...given} title="Latency" lines={latency} logarithmic unit={(v) => milliseconds(v).join(' ')} />
      {history.heatBoundsMs.length > 0 && <PlotPanel {...given} title="Heat map" />}
    </div>
  );
}

// PlotPanel is a plot with its name and the figures under the cursor. They are written without a
// rendering, as the cursor moves often.
function PlotPanel(props: {
  title: string;
  history: History;
  from: number;
  theme: string;
  lines?: Line[];
  unit?: (value: number | null) => string;
  logarithmic?: boolean;
}) {
  const { lines, unit } = props;
  const element = useRef<HTMLDivElement>(null);
  const head = useRef<HTMLDivElement>(null);
  const plot = useRef<Plot | null>(null);
  useEffect(() => {
    if (element.current === null) return;
    const tell = (figures: string[], at: number | null) => {
      head.current?.querySelectorAll('output').forEach((output, i) => (output.textContent = figures[i] ?? ''));
      const time = head.current?.querySelector('time');
      if (time) time.textContent = at === null ? '' : clock(at * 1000, Date.now(), true);
    };
    plot.current =
      lines === undefined ? heatPlot(element.current, tell) : linePlot(element.current, lines, unit ?? number, props.logarithmic ?? false, tell);
    return () => plot.current?.close();
  }, [props.theme]);
  useEffect(() => plot.current?.update(props.history, props.from), [props.history, props.from, props.theme]);
  return (
    <figure class="plot">
      <figcaption ref={head}>
        <b>{props.title}</b>
        <time />
        {(lines ?? [{ name: '', color: '' }]).map((line) => (
          <span class="key" key={line.name}>
            {(lines?.length ?? 0) > 1 && (
              <>
                <i class={'swatch s-' + line.name} /> {line.name}{' '}
              </>
            )}
            <output />
          </span>
        ))}
      </figcaption>
      <div ref={element} class="canvas" role="img" aria-label={`${props.title} over time`} />
    </figure>
  );
}

// useHistory reads a history and continues it. It keeps no more than an hour.
function useHistory(service: string, method: string, instance: string, seconds: number): [History | null, string] {
  const what = [service, method, instance, seconds].join('\n');
  const [state, setState] = useState<{ what: string; history: History | null; problem: string }>({ what, history: null, problem: '' });
  useEffect(() => {
    const ended = new AbortController();
    let history: History | null = null;
    let timer = 0;
    const read = async () => {
      try {
        if (!document.hidden) {
          const since = history === null ? Math.floor(Date.now() / 1000) - seconds : lastSteps(history);
          const path = pathOf('services', service) + '/history' + queryOf({ method, instance, since });
          history = mergeHistory(history, await get<History>(path, ended.signal), seconds);
          setState({ what, history, problem: '' });
        }
      } catch (err) {
        // Plots that are there stay: the head of the page says that they are old.
        if (!ended.signal.aborted) setState({ what, history, problem: explain(err) });
      }
      if (!ended.signal.aborted) timer = window.setTimeout(read, every);
    };
    void read();
    return () => {
      ended.abort();
      clearTimeout(timer);
    };
  }, [what]);
  return state.what === what ? [state.history, state.problem] : [null, ''];
}

// lastSteps is the beginning of the last two steps, which may not have been complete.
function lastSteps(history: History): number {
  return history.from + Math.max(0, history.perSecond.length - 2) * history.step;
}
