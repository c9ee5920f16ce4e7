import { bytes, number, visible } from '../format.ts';
import { Bar, Empty, Figure, MethodText, readable, Section, Skeleton, Sources, Spark, State, Text, Time, Unit } from '../parts.tsx';
import { withQuery, type Route } from '../route.ts';
import { matches } from '../sort.ts';
import { Table, type Column } from '../table.tsx';
import type { Level, Queue, Stream, Subscription, Work } from '../types.ts';
import { Filter } from './filter.tsx';
import { LetterGroups } from './letters.tsx';

export function WorkView({ doc, route }: { doc: Work; route: Route }) {
  const filter = route.query['q'] ?? '';
  const queues = doc.queues.filter((q) => matches(filter, q.service, q.method));
  const subscriptions = doc.subscriptions.filter((s) => matches(filter, s.service, s.method, s.group, s.instance));
  const streams = doc.streams.filter((s) => matches(filter, s.service, s.kind, s.name));
  const letters = doc.deadLetters.filter((g) => matches(filter, g.service, g.method, g.consumer, g.reason));
  const all = doc.queues.length + doc.subscriptions.length + doc.streams.length + doc.deadLetters.length;
  const sortOf = (name: string) => ({ sort: route.query[name], sortLink: (sort: string) => withQuery(route, { [name]: sort }) });
  if (all === 0) return <NoWork doc={doc} />;
  return (
    <>
      <div class="filters"><Filter route={route} label="Filter by service or method" /></div>
      <Sources header={doc} names={['work', 'deadLetters']} />
      {letters.length > 0 && (
        <Section id="letters" title="Dead letters" sub="by method and reason, the greatest groups first">
          <LetterGroups groups={letters} may={doc.may} />
        </Section>
      )}
      {queues.length > 0 && (
        <Section id="queues" title="Queues of commands" sub={queues.length}>
          <Queues queues={queues} {...sortOf('qsort')} />
        </Section>
      )}
      {subscriptions.length > 0 && (
        <Section id="subscriptions" title="Durable events" sub="groups and named instances, the greatest lag first">
          <Table
            label="Subscriptions" rows={subscriptions} columns={subscriptionColumns}
            id={(s) => [s.service, s.method, s.group, s.instance].join('\n')} {...sortOf('ssort')}
          />
        </Section>
      )}
      {streams.length > 0 && (
        <Section id="streams" title="Streams" sub={streams.length}>
          <Table label="Streams" rows={streams} columns={streamColumns} id={(s) => s.name} {...sortOf('sort')} />
        </Section>
      )}
      {queues.length + subscriptions.length + streams.length + letters.length === 0 && (
        <Empty>Nothing has <Text of={filter} mono /> in its name.</Empty>
      )}
    </>
  );
}

function NoWork({ doc }: { doc: Work }) {
  const state = readable(doc, 'work');
  return (
    <>
      <Sources header={doc} names={['work', 'deadLetters']} />
      {state === 'loading' && <Skeleton rows={12} />}
      {state === 'ready' && (
        <Empty line="option (aegis.v1.method) = {command: {}};">
          There are no commands and no durable events yet. A method has them with an option in its proto:
        </Empty>
      )}
    </>
  );
}

export function Queues({ queues, sort, sortLink }: { queues: Queue[]; sort?: string | undefined; sortLink?: (sort: string) => string }) {
  const most = queues.reduce((most, q) => Math.max(most, q.waiting), 0);
  return (
    <Table
      label="Queues" rows={queues} columns={queueColumns(most)} id={(q) => q.service + '.' + q.method}
      {...(sortLink === undefined ? {} : { sort, sortLink })}
    />
  );
}

function queueColumns(most: number): Column<Queue>[] {
  return [
    { key: 'name', title: 'Queue', least: 190, sort: (q) => q.method, cell: (q) => <MethodText service={q.service} method={q.method} /> },
    { key: 'state', title: 'State', width: 136, cell: (q) => <State level={q.level}>{queueState(q)}</State> },
    { key: 'waiting', title: 'Waiting', width: 72, figures: true, sort: (q) => q.waiting, cell: (q) => number(q.waiting) },
    { key: 'bar', title: 'Waiting, as a bar', untitled: true, width: 70, cell: (q) => <Bar of={q.waiting} most={most} /> },
    { key: 'running', title: 'Running', width: 70, figures: true, sort: (q) => q.running, cell: (q) => number(q.running) },
    { key: 'retrying', title: 'Retrying', width: 70, figures: true, sort: (q) => q.retrying, cell: (q) => number(q.retrying) },
    { key: 'scheduled', title: 'Scheduled', width: 80, figures: true, sort: (q) => q.scheduled, cell: (q) => number(q.scheduled) },
    { key: 'oldest', title: 'Oldest', width: 94, figures: true, sort: (q) => (q.oldest === null ? null : -Date.parse(q.oldest)), cell: (q) => <Time at={q.oldest} /> },
    { key: 'added', title: 'In/s', width: 58, figures: true, sort: (q) => q.addedPerSecond, cell: (q) => <Figure of={q.addedPerSecond} /> },
    { key: 'done', title: 'Done/s', width: 62, figures: true, sort: (q) => q.donePerSecond, cell: (q) => <Figure of={q.donePerSecond} /> },
    { key: 'priorities', title: 'By priority', width: 148, hint: 'Waiting and under way', cell: (q) => <Text of={priorities(q)} /> },
    { key: 'hour', title: 'Last hour', width: 116, cell: (q) => <Spark values={q.hour} /> },
  ];
}

function queueState(q: Queue): string {
  if (q.pausedUntil !== null) return 'paused';
  if (!q.workers) return 'no worker yet';
  return q.waiting + q.running + q.retrying === 0 ? 'idle' : q.level === 'ok' ? 'working' : '';
}

function priorities(q: Queue): string {
  return q.priorities
    .filter((p) => p.waiting + p.underWay > 0)
    .map((p) => `${p.priority.toLowerCase()} ${number(p.waiting)}+${number(p.underWay)}`)
    .join(', ');
}

const subscriptionColumns: Column<Subscription>[] = [
  { key: 'name', title: 'Event', least: 220, sort: (s) => s.method, cell: (s) => <MethodText service={s.service} method={s.method} /> },
  { key: 'group', title: 'Group or instance', width: 140, sort: (s) => s.group || s.instance, cell: (s) => <Text of={s.group || s.instance} mono /> },
  { key: 'state', title: 'State', width: 150, cell: (s) => <State level={s.level}>{subscriptionState(s)}</State> },
  { key: 'lag', title: 'Lag', width: 76, figures: true, sort: (s) => s.lag, cell: (s) => number(s.lag) },
  { key: 'pending', title: 'Pending', width: 84, figures: true, sort: (s) => s.pending, hint: 'Delivered and not acknowledged', cell: (s) => number(s.pending) },
  { key: 'again', title: 'Again', width: 74, figures: true, sort: (s) => s.redelivered, hint: 'Of them delivered more than once', cell: (s) => number(s.redelivered) },
  { key: 'done', title: 'Done/s', width: 76, figures: true, sort: (s) => s.donePerSecond, cell: (s) => <Figure of={s.donePerSecond} /> },
  { key: 'delivered', title: 'Delivered', width: 96, figures: true, hint: 'The last delivery', cell: (s) => <Time at={s.lastDelivery} /> },
  { key: 'acked', title: 'Acknowledged', width: 106, figures: true, hint: 'The last acknowledgement', cell: (s) => <Time at={s.lastAck} /> },
  { key: 'hour', title: 'Last hour', width: 132, cell: (s) => <Spark values={s.hour} /> },
];

function subscriptionState(s: Subscription): string {
  if (s.pausedUntil !== null) return 'paused';
  if (s.waiting === 0 && s.pending === 0) return 'nobody asks';
  return s.level === 'ok' ? (s.lag > 0 ? 'catching up' : 'up to date') : '';
}

const streamColumns: Column<Stream>[] = [
  { key: 'name', title: 'Stream', least: 220, sort: (s) => s.name, cell: (s) => <Text of={s.name} mono /> },
  { key: 'service', title: 'Service', least: 150, sort: (s) => s.service, cell: (s) => <Text of={s.service} /> },
  { key: 'kind', title: 'Kind', width: 92, sort: (s) => s.kind, cell: (s) => <Text of={s.kind} /> },
  { key: 'state', title: 'State', width: 124, cell: (s) => <State level={s.level}>{streamState(s)}</State> },
  { key: 'messages', title: 'Messages', width: 82, figures: true, sort: (s) => s.messages, cell: (s) => number(s.messages) },
  { key: 'bytes', title: 'Size', width: 72, figures: true, sort: (s) => s.bytes, cell: (s) => <Unit of={bytes(s.bytes)} /> },
  { key: 'full', title: 'Full', width: 60, figures: true, hint: 'Of its limit', sort: fullness, cell: (s) => <Figure of={fullness(s)} unit="%" /> },
  { key: 'limit', title: 'When full', width: 122, cell: (s) => (s.maxBytes === null ? <span class="dim">no limit</span> : s.refuses ? 'refuses new' : 'drops the oldest') },
  { key: 'replicas', title: 'Replicas', width: 68, figures: true, sort: (s) => s.replicas, cell: (s) => number(s.replicas) },
  { key: 'leader', title: 'Leader', width: 80, cell: (s) => <Text of={s.leader} mono /> },
  { key: 'last', title: 'Last', width: 94, figures: true, hint: 'The last message', sort: (s) => (s.last === null ? null : Date.parse(s.last)), cell: (s) => <Time at={s.last} /> },
];

function fullness(s: Stream): number | null {
  return s.maxBytes === null || s.maxBytes <= 0 ? null : (s.bytes / s.maxBytes) * 100;
}

function streamState(s: Stream): string {
  if (s.behind.length > 0) return 'behind: ' + s.behind.map(visible).join(', ');
  return s.level === ('ok' satisfies Level) ? 'well' : '';
}
