import { count, milliseconds, number, pairs, visible } from '../format.ts';
import { Empty, Figure, Findings, readable, Section, Skeleton, Sources, State, Text, Unit } from '../parts.tsx';
import { Plots } from '../plots.tsx';
import { formatRoute, withQuery, type Route } from '../route.ts';
import { matches } from '../sort.ts';
import { Table, type Column } from '../table.tsx';
import type { May, Method, ServiceDetail } from '../types.ts';
import { instanceColumns, originOf } from './columns.tsx';
import { Filter } from './filter.tsx';
import { Leadership } from './leaders.tsx';
import { Queues } from './work.tsx';

const ranges: [string, number][] = [['5 min', 300], ['15 min', 900], ['1 h', 3600]];

export function ServiceView({ doc, route, theme }: { doc: ServiceDetail; route: Route; theme: string }) {
  const { service } = doc;
  if (!doc.found && doc.instances.length === 0) {
    return (
      <>
        <Sources header={doc} names={['instances']} />
        {readable(doc, 'instances') === 'loading' ? <Skeleton rows={12} /> : (
          <Empty>
            No instance of <Text of={route.args[0] ?? ''} mono /> is there, and none was within the last hour. Is its name
            spelled right? <a href={formatRoute('search', [], { q: (route.args[0] ?? '').split('.').pop() ?? '' })}>Search for it</a>
          </Empty>
        )}
      </>
    );
  }
  const method = route.query['method'] ?? '';
  const instance = method === '' ? (route.query['instance'] ?? '') : '';
  const selected = doc.instances.find((i) => i.name === instance && !i.subscriber);
  const range = ranges.find(([, seconds]) => String(seconds) === route.query['range'])?.[1] ?? 900;
  const filter = route.query['q'] ?? '';
  const instances = filter === '' ? doc.instances : doc.instances.filter((i) => matches(filter, i.name, i.state, i.version, i.why, i.grade, i.zone, i.node, i.build, pairs(i.labels), i.reserved ? 'reserved' : ''));
  return (
    <>
      <Findings findings={doc.findings} />
      <Sources header={doc} names={['instances', 'figures', 'leaders']} />
      <Section
        id="plots" title={<PlotsTitle service={service.name} method={method} instance={instance} />}
        {...(selected === undefined ? {} : { sub: <bdi class="wrap">{visible(originOf(selected))}</bdi> })}
        tools={
          <>
            {(method !== '' || instance !== '') && <a class="link" href={withQuery(route, { method: '', instance: '' })}>whole service</a>}
            <span class="seg" role="group" aria-label="Range of time">
              {ranges.map(([name, seconds]) => (
                <a key={name} href={withQuery(route, { range: seconds === 900 ? '' : String(seconds) })} {...(seconds === range ? { 'aria-current': 'true' } : {})}>
                  {name}
                </a>
              ))}
            </span>
          </>
        }
      >
        {readable(doc, 'figures') !== 'not' && (
          <Plots service={service.name} method={method} instance={instance} seconds={range} theme={theme} />
        )}
      </Section>
      {doc.methods.length > 0 && (
        <Section id="methods" title="Methods" sub={doc.methods.length}>
          <Table
            label="Methods" rows={doc.methods} columns={methodColumns(service.name, doc.may)} id={(m) => m.name}
            link={(m) => withQuery(route, { method: m.name === method ? '' : m.name, instance: '' })}
            marked={(m) => m.name === method}
            sort={route.query['msort']} sortLink={(msort) => withQuery(route, { msort })}
          />
        </Section>
      )}
      {doc.leaders.length > 0 && (
        <Section id="leaders" title="Leaders" sub="the last hour">
          {doc.leaders.map((leadership) => (
            <Leadership key={leadership.group} of={leadership} full />
          ))}
        </Section>
      )}
      <Section
        id="instances" title="Instances" sub={filter === '' ? doc.instances.length : `${instances.length} of ${doc.instances.length}`}
        tools={doc.instances.length > 10 && <Filter route={route} label="Filter instances" />}
      >
        {doc.instances.length > 0 ? (
          <Table
            label="Instances" rows={instances} columns={instanceColumns(doc.instances)} id={(i) => i.name + '\n' + i.process}
            link={(i) => withQuery(route, { instance: i.name === instance ? '' : i.name, method: '' })}
            marked={(i) => i.name === instance}
            sort={route.query['sort']} sortLink={(sort) => withQuery(route, { sort })}
          />
        ) : (
          <Empty>No instance is running. The last one has left within the hour: see the <a href={formatRoute('activity', [], { service: service.name })}>activity</a>.</Empty>
        )}
      </Section>
      {doc.queues.length > 0 && (
        <Section id="queues" title="Queues">
          <Queues queues={doc.queues} />
        </Section>
      )}
    </>
  );
}

// ServiceSub is the line under the name of a service.
export function ServiceSub({ doc }: { doc: ServiceDetail }) {
  const { service } = doc;
  return (
    <>
      <State level={service.level}>
        {visible(service.why)}; {count(service.instances, 'instance')}
        {service.reserved > 0 && `, ${service.reserved} reserved`}
        {service.versions.length > 0 && `, ${service.versions.slice(0, 4).map(visible).join(', ')}${service.versions.length > 4 ? ' …' : ''}`}
        {service.grade !== '' && `, grade ${visible(service.grade)}`}
      </State>
      {doc.description !== '' && <p><bdi>{visible(doc.description)}</bdi></p>}
    </>
  );
}

function PlotsTitle({ service, method, instance }: { service: string; method: string; instance: string }) {
  if (method !== '') return <>Method <bdi class="mono">{visible(method)}</bdi></>;
  if (instance !== '') return <>Instance <bdi class="mono">{visible(instance)}</bdi></>;
  return <>All methods of <bdi>{visible(service.split('.').pop() ?? '')}</bdi></>;
}

function methodColumns(service: string, may: May): Column<Method>[] {
  return [
    { key: 'name', title: 'Method', least: 200, sort: (m) => m.name, cell: (m) => <span class="text" title={visible(m.description || m.name)}><bdi class="mono">{visible(m.name)}</bdi></span> },
    { key: 'pattern', title: 'Pattern', width: 150, sort: (m) => m.pattern, cell: (m) => <Text of={m.group === '' ? m.pattern : `${m.pattern}, ${m.group}`} /> },
    { key: 'instances', title: 'Offered by', width: 90, figures: true, sort: (m) => m.instances, cell: (m) => number(m.instances) },
    { key: 'rate', title: 'Calls/s', width: 90, figures: true, sort: (m) => m.perSecond, cell: (m) => <Figure of={m.perSecond} /> },
    { key: 'errors', title: 'Errors', width: 80, figures: true, sort: (m) => m.errorPercent, cell: (m) => <Figure of={m.errorPercent} unit="%" /> },
    { key: 'codes', title: 'Codes, last minute', least: 150, cell: (m) => <Text of={codes(m)} mono /> },
    { key: 'p50', title: 'p50', width: 80, figures: true, sort: (m) => m.p50Ms, cell: (m) => <Unit of={milliseconds(m.p50Ms)} /> },
    { key: 'p90', title: 'p90', width: 80, figures: true, sort: (m) => m.p90Ms, cell: (m) => <Unit of={milliseconds(m.p90Ms)} /> },
    { key: 'p99', title: 'p99', width: 84, figures: true, sort: (m) => m.p99Ms, cell: (m) => <Unit of={milliseconds(m.p99Ms)} /> },
    { key: 'inflight', title: 'In flight', width: 80, figures: true, sort: (m) => m.inFlight, cell: (m) => <Figure of={m.inFlight} /> },
    // A monitor that may not call has no sign of it.
    ...(may.call ? [{ key: 'call', title: 'Call', untitled: true, width: 70, figures: true, cell: (m: Method) => <a class="link" href={formatRoute('call', [service, m.name])}>Call…</a> }] : []),
  ];
}

function codes(method: Method): string {
  return Object.entries(method.codes).sort((a, b) => b[1] - a[1]).map(([code, n]) => `${code} ${number(n)}`).join(', ');
}
