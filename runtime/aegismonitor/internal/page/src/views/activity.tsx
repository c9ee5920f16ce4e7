import { count, visible } from '../format.ts';
import { Clock, Empty, Mark, Prose, readable, ServiceText, Skeleton, Sources, Text, Time } from '../parts.tsx';
import { formatRoute, withQuery, type Route } from '../route.ts';
import { matches } from '../sort.ts';
import { Table, type Column } from '../table.tsx';
import type { Activity, Event, EventKind } from '../types.ts';
import { Filter } from './filter.tsx';

const kinds: Record<EventKind, string> = {
  joined: 'joined',
  left: 'left',
  expired: 'expired',
  state: 'state changed',
  leader: 'leads',
  leaderless: 'no leader',
  finding: 'finding',
  findingOver: 'finding over',
  deadLetters: 'dead letters',
  connection: 'connection',
  action: 'action',
};

const columns: Column<Event>[] = [
  { key: 'at', title: 'Time', width: 120, cell: (e) => <Clock at={e.at} /> },
  { key: 'kind', title: 'Kind', width: 140, cell: (e) => <span class={'state l-' + e.level}><Mark level={e.level} /><span>{kinds[e.kind] ?? visible(e.kind)}</span></span> },
  { key: 'service', title: 'Service', width: 260, cell: (e) => <ServiceText of={e.service} /> },
  { key: 'instance', title: 'Instance', width: 150, cell: (e) => <Text of={e.instance} mono /> },
  { key: 'text', title: 'What', least: 300, cell: (e) => <Text of={e.text} /> },
];

export function ActivityView({ doc, route }: { doc: Activity; route: Route }) {
  const { kind = '', service = '', q = '', id = '' } = route.query;
  const events = doc.events.filter(
    (e) => (kind === '' || e.kind === kind) && (service === '' || e.service === service) && matches(q, e.text, e.service, e.instance, e.method, e.group),
  );
  const services = [...new Set([...doc.events.map((e) => e.service), service])].filter((s) => s !== '').sort();
  const shown = doc.events.find((e) => String(e.id) === id);
  const set = (name: string) => (event: { currentTarget: HTMLSelectElement }) => {
    location.hash = withQuery(route, { [name]: event.currentTarget.value });
  };
  return (
    <>
      <div class="filters">
        <Filter route={route} label="Filter by text" />
        <select aria-label="Kind" value={kind} onChange={set('kind')}>
          <option value="">All kinds</option>
          {Object.entries(kinds).map(([value, name]) => <option key={value} value={value}>{name}</option>)}
        </select>
        <select aria-label="Service" value={service} onChange={set('service')}>
          <option value="">All services</option>
          {services.map((name) => <option key={name} value={name}>{visible(name).slice(0, 80)}</option>)}
        </select>
        <span class="dim">
          {count(events.length, 'event')} of the last hour
          {doc.dropped > 0 && `; ${count(doc.dropped, 'earlier one')} ${doc.dropped === 1 ? 'is' : 'are'} forgotten`}
        </span>
      </div>
      <Sources header={doc} names={['instances', 'leaders', 'deadLetters']} />
      {shown !== undefined && <Detail of={shown} />}
      {events.length > 0 ? (
        <Table
          label="Activity" rows={events} columns={columns} id={(e) => String(e.id)}
          link={(e) => withQuery(route, { id: String(e.id) === id ? '' : String(e.id) })} marked={(e) => String(e.id) === id}
        />
      ) : readable(doc, 'instances') === 'loading' ? (
        <Skeleton rows={12} />
      ) : doc.events.length > 0 ? (
        <Empty>None of {count(doc.events.length, 'event')} is so. <a href={formatRoute('activity')}>Show all</a></Empty>
      ) : (
        <Empty>Nothing has happened within the last hour: instances that come and go, changes of leaders, findings and dead letters will be here.</Empty>
      )}
    </>
  );
}

function Detail({ of }: { of: Event }) {
  return (
    <div class="panel detail">
      <p><b>{kinds[of.kind] ?? visible(of.kind)}</b> <Time at={of.at} /></p>
      <p><Prose of={of.text} /></p>
      {of.service !== '' && (
        <p class="wrap">
          <a href={formatRoute('service', [of.service], { method: of.method, instance: of.instance })}><Prose of={of.service} /></a>
          {of.instance !== '' && <>, instance <Prose of={of.instance} /></>}
          {of.method !== '' && <>, method <Prose of={of.method} /></>}
          {of.group !== '' && <>, group <Prose of={of.group} /></>}
        </p>
      )}
    </div>
  );
}
