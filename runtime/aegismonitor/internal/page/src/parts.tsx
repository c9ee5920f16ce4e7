// The small parts that all views are made of.

import { createContext, type ComponentChildren } from 'preact';
import { memo } from 'preact/compat';
import { useContext } from 'preact/hooks';
import { both, clock, number, span, splitName, visible, when } from './format.ts';
import { formatRoute } from './route.ts';
import type { Finding, Header, Level, Source, SourceName, SourceState } from './types.ts';

// Now is the present time by the clock of the monitor, in milliseconds.
export const Now = createContext(0);

const marks: Record<Level, { word: string; path: string }> = {
  ok: { word: 'well', path: 'M6 2a4 4 0 1 0 0 8 4 4 0 0 0 0-8Z' },
  unknown: { word: 'unknown', path: 'M6 2.500a3.500 3.500 0 1 0 0 7 3.500 3.500 0 0 0 0-7Z' },
  attention: { word: 'attention', path: 'M6 1.500 11 10.500H1Z' },
  critical: { word: 'critical', path: 'M2 2l8 8M10 2l-8 8' },
};

// Mark is a level as a shape: a disc, a ring, a triangle or a cross. Each has a word beside it,
// or one of its own for screen readers.
export function Mark({ level, alone = false }: { level: Level; alone?: boolean }) {
  const mark = marks[level] ?? marks.unknown;
  return (
    <svg
      class={'mark l-' + level} viewBox="0 0 12 12" focusable="false"
      {...(alone ? { role: 'img', 'aria-label': mark.word } : { 'aria-hidden': 'true' })}
    >
      <path d={mark.path} />
    </svg>
  );
}

export function State({ level, children }: { level: Level; children?: ComponentChildren }) {
  return (
    <span class={'state l-' + level}>
      <Mark level={level} />
      <span>{children || marks[level]?.word}</span>
    </span>
  );
}

// Text is a text of others: isolated, so that its direction does not reach what is around it,
// with its unseen characters shown, and with all of it in the title if it is cut.
export function Text({ of, mono = false }: { of: string; mono?: boolean }) {
  const text = visible(of);
  return (
    <bdi class={mono ? 'text mono' : 'text'} title={text}>
      {text}
    </bdi>
  );
}

// ServiceText is the name of a service, with its package in grey behind it.
export function ServiceText({ of }: { of: string }) {
  const [pkg, name] = splitName(visible(of));
  return (
    <span class="text" title={visible(of)}>
      <bdi class="strong">{name}</bdi>{' '}
      {pkg !== '' && <bdi class="dim">{pkg.slice(0, -1)}</bdi>}
    </span>
  );
}

// MethodText is a method with its service in grey behind it.
export function MethodText({ service, method, extra = '' }: { service: string; method: string; extra?: string }) {
  return (
    <span class="text" title={visible(`${service}.${method} ${extra}`)}>
      <bdi class="mono">{visible(method)}</bdi> {extra !== '' && <bdi class="ink2">{visible(extra)}</bdi>}{' '}
      <bdi class="dim">{visible(service)}</bdi>
    </span>
  );
}

export function Figure({ of, unit = '' }: { of: number | null; unit?: string }) {
  return <Unit of={[number(of), of === null ? '' : unit]} />;
}

// Unit is a figure and its unit, which is small and grey.
export function Unit({ of }: { of: [string, string] }) {
  if (of[0] === '–') return <span class="dim">–</span>;
  return (
    <span class="figure">
      {of[0]}
      {of[1] !== '' && <small> {of[1]}</small>}
    </span>
  );
}

// Time is a time: relative up to an hour, the clock beyond, and both in its title.
export function Time({ at }: { at: string | null }) {
  const now = useContext(Now);
  if (at === null || Number.isNaN(Date.parse(at))) return <span class="dim">–</span>;
  const ms = Date.parse(at);
  return (
    <time dateTime={at} title={both(ms, now)}>
      {when(ms, now)}
    </time>
  );
}

// Clock is a time of a list that is in the order of times.
export function Clock({ at }: { at: string }) {
  const now = useContext(Now);
  const ms = Date.parse(at);
  return <time class="mono" dateTime={at} title={both(ms, now)}>{clock(ms, now, true)}</time>;
}

// Lasting is how long something has been so.
export function Lasting({ since }: { since: string }) {
  const now = useContext(Now);
  const ms = Date.parse(since);
  return Number.isNaN(ms) ? <span class="dim">–</span> : <time dateTime={since} title={both(ms, now)}>{span((now - ms) / 1000)}</time>;
}

export function Grade({ grade, score }: { grade: string; score: number | null }) {
  if (grade === '') return <span class="dim">–</span>;
  const tone = 'AB'.includes(grade.charAt(0)) ? 'ok' : 'CD'.includes(grade.charAt(0)) ? 'attention' : 'critical';
  return (
    <span class={'grade g-' + tone} title={score === null ? '' : `score ${number(score)} of 100`}>
      {visible(grade).slice(0, 3)}
    </span>
  );
}

// Spark is a line without axes. It has holes where nothing is known.
export const Spark = memo(function Spark({ values }: { values: (number | null)[] }) {
  return (
    <svg class="spark" viewBox="0 0 112 16" preserveAspectRatio="none" aria-hidden="true" focusable="false">
      <path d={sparkPath(values, 112, 16)} />
    </svg>
  );
}, (a, b) => a.values.length === b.values.length && a.values.every((value, i) => value === b.values[i]));

function sparkPath(values: (number | null)[], width: number, height: number): string {
  const most = Math.max(0, ...values.map((value) => value ?? 0));
  const scale = most > 0 ? (height - 2) / most : 0;
  const step = width / Math.max(1, values.length - 1);
  let path = '';
  let pen = false;
  values.forEach((value, i) => {
    // A lone value between two holes would be no line: it is a dash.
    const x = (i * step).toFixed(1);
    if (value !== null) {
      path += `${pen ? 'L' : 'M'}${x} ${(height - 1 - value * scale).toFixed(1)}`;
      if (!pen && (values[i + 1] ?? null) === null) path += 'h1';
    }
    pen = value !== null;
  });
  return path;
}

// Bar is a part of a whole, beside the figure that says it.
export function Bar({ of, most }: { of: number; most: number }) {
  const width = most > 0 ? Math.min(100, (of / most) * 100) : 0;
  return (
    <span class="bar" aria-hidden="true">
      <i style={{ width: width + '%' }} />
    </span>
  );
}

// Empty says what would be here, and how to get it.
export function Empty({ children, line = '' }: { children: ComponentChildren; line?: string }) {
  return (
    <div class="empty">
      <p>{children}</p>
      {line !== '' && <code>{line}</code>}
    </div>
  );
}

// Skeleton has the size of what is being loaded.
export function Skeleton({ rows }: { rows: number }) {
  return (
    <div class="skeleton" role="status" aria-label="Loading">
      {Array.from({ length: rows }, (_, i) => (
        <i key={i} />
      ))}
    </div>
  );
}

const sourceWords: Record<SourceName, string> = {
  instances: 'the instances',
  figures: 'the figures of the methods',
  leaders: 'the leaders',
  work: 'the durable work',
  deadLetters: 'the dead letters',
};

const stateWords: Partial<Record<SourceState, string>> = {
  denied: 'may not be read',
  absent: 'are not there',
  failed: 'cannot be read now',
};

// Sources says which of the sources of a section cannot be read, and why. Those with one reason
// are one note.
export function Sources({ header, names }: { header: Header; names: SourceName[] }) {
  const now = useContext(Now);
  const missing = header.sources.filter((source) => names.includes(source.name) && stateWords[source.state] !== undefined);
  const notes = Map.groupBy(missing, (source) => source.state + '\n' + source.problem);
  return (
    <>
      {[...notes].map(([key, sources]) => {
        const [{ state, problem, at }] = sources as [Source];
        return (
          <div class="note" key={key}>
            <State level="unknown">
              {sentence(sources.map((source) => sourceWords[source.name] ?? source.name))} {stateWords[state]}
            </State>
            <span class="ink2 wrap">
              <Prose of={problem} />
              {state === 'failed' && at !== null && ` What you see is of ${both(Date.parse(at), now)}.`}
            </span>
          </div>
        );
      })}
    </>
  );
}

// sentence joins names as the beginning of a sentence.
function sentence(names: string[]): string {
  const text = names.join(', ').replace(/, ([^,]*)$/, ' and $1');
  return text.charAt(0).toUpperCase() + text.slice(1);
}

// readable says how far a section can be shown.
export function readable(header: Header, name: SourceName): 'loading' | 'ready' | 'not' {
  const state = header.sources.find((source) => source.name === name)?.state ?? 'ready';
  if (state === 'loading') return 'loading';
  return state === 'denied' || state === 'absent' ? 'not' : 'ready';
}

// Prose is a text of others that may be long: it wraps.
export function Prose({ of }: { of: string }) {
  // It may break behind the dots of a name, which is better than anywhere.
  const parts = visible(of).split(/(?<=\w\.)(?=\w)/);
  return <bdi class="prose">{parts.map((part, i) => (i === 0 ? part : [<wbr />, part]))}</bdi>;
}

export function Section(props: {
  id: string;
  title: ComponentChildren;
  sub?: ComponentChildren;
  tools?: ComponentChildren;
  children: ComponentChildren;
}) {
  return (
    <section id={props.id} aria-labelledby={props.id + '-title'}>
      <div class="section-head">
        <h2 id={props.id + '-title'}>{props.title}</h2>
        {props.sub !== undefined && <span class="dim">{props.sub}</span>}
        {props.tools !== undefined && <span class="tools">{props.tools}</span>}
      </div>
      {props.children}
    </section>
  );
}

// findingLink is where one can act on a finding. Its id begins with its kind.
export function findingLink(finding: Finding): string {
  const { service, method, instance } = finding;
  switch (finding.id.split('/')[0]) {
    case 'letters':
    case 'queue':
    case 'subscription':
    case 'full':
    case 'behind':
      return formatRoute('work', [], { q: method || service });
  }
  return service === '' ? formatRoute('activity') : formatRoute('service', [service], { method, instance });
}

export function Findings({ findings }: { findings: Finding[] }) {
  const shown = findings.slice(0, 20);
  return (
    <ul class="findings">
      {shown.map((finding) => (
        <li key={finding.id}>
          <a class={'finding l-' + finding.level} href={findingLink(finding)} data-row>
            <Mark level={finding.level} alone />
            <span class="wrap">
              <b>
                <Prose of={finding.what} />
              </b>{' '}
              <span class="ink2">
                <Prose of={finding.detail} />
              </span>
            </span>
            <Time at={finding.since} />
          </a>
        </li>
      ))}
      {findings.length > shown.length && (
        <li class="ink2">
          and {findings.length - shown.length} more: <a href={formatRoute('activity', [], { kind: 'finding' })}>all findings</a>
        </li>
      )}
    </ul>
  );
}
