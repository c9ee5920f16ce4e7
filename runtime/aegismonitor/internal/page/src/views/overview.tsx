import { useContext } from 'preact/hooks';
import { count, milliseconds, span } from '../format.ts';
import { Empty, Figure, Findings, Now, readable, Section, Skeleton, Sources, Unit } from '../parts.tsx';
import { formatRoute, withQuery, type Route } from '../route.ts';
import { matches } from '../sort.ts';
import { Table } from '../table.tsx';
import type { Overview } from '../types.ts';
import { Filter } from './filter.tsx';
import { Leadership } from './leaders.tsx';
import { serviceColumns } from './columns.tsx';
import { LetterGroups } from './letters.tsx';
import { Queues } from './work.tsx';

const few = 8; // of what has a page of its own

export function OverviewView({ doc, route }: { doc: Overview; route: Route }) {
  const filter = route.query['q'] ?? '';
  const services = filter === '' ? doc.services : doc.services.filter((s) => matches(filter, s.name, s.why, s.grade));
  const leaders = [...doc.leaders].sort((a, b) => worry(b) - worry(a)).slice(0, few);
  return (
    <>
      <Findings findings={doc.findings} />
      <Tiles doc={doc} />
      <Sources header={doc} names={['instances', 'figures', 'leaders', 'work', 'deadLetters']} />
      <Section
        id="services" title="Services" sub={route.query['sort'] ? '' : 'worst first'}
        tools={doc.services.length > 10 && <Filter route={route} label="Filter services" />}
      >
        {doc.services.length > 0 ? (
          <Table
            label="Services" rows={services} columns={serviceColumns} id={(s) => s.name}
            link={(s) => formatRoute('service', [s.name])}
            sort={route.query['sort']} sortLink={(sort) => withQuery(route, { sort })}
          />
        ) : readable(doc, 'instances') === 'loading' ? (
          <Skeleton rows={6} />
        ) : (
          <Empty line="aegis init hello && cd hello && aegis dev">
            No service is running in the namespace “{doc.nats.namespace}”. Each server that connects to this NATS is here
            within a second; to begin with one:
          </Empty>
        )}
      </Section>
      {doc.leaders.length > 0 && (
        <Section id="leaders" title="Leaders" sub={<More shown={leaders.length} of={doc.leaders.length} view="leaders" />}>
          <div class="leaders">
            {leaders.map((leadership) => (
              <Leadership key={leadership.service + '/' + leadership.group} of={leadership} />
            ))}
          </div>
        </Section>
      )}
      {doc.queues.length > 0 && (
        <Section id="queues" title="Queues" sub={<More shown={Math.min(few, doc.queues.length)} of={doc.queues.length} view="work" />}>
          <Queues queues={doc.queues.slice(0, few)} />
        </Section>
      )}
      {doc.deadLetters.length > 0 && (
        <Section id="letters" title="Dead letters" sub="by method and reason">
          <LetterGroups groups={doc.deadLetters.slice(0, few)} may={doc.may} />
        </Section>
      )}
    </>
  );
}

// worry orders leaderships: those without a leader first, then those with the longest gaps.
function worry(of: { state: string; leaderlessSeconds: number }): number {
  return (of.state === 'leads' ? 0 : 1e9) + of.leaderlessSeconds;
}

function More({ shown, of, view }: { shown: number; of: number; view: 'leaders' | 'work' }) {
  if (shown >= of) return null;
  return (
    <>
      {shown} of {of}, <a class="link" href={formatRoute(view)}>all</a>
    </>
  );
}

function Tiles({ doc }: { doc: Overview }) {
  const { totals } = doc;
  const now = useContext(Now);
  // A monitor that has just begun knows of less than an hour.
  const watched = (now - Date.parse(totals.watchedSince)) / 1000;
  const [length = '', unit = ''] = span(totals.leaderlessSeconds).split(' ');
  const p50 = milliseconds(totals.p50Ms);
  const p99 = milliseconds(totals.p99Ms);
  return (
    <dl class="tiles">
      <div>
        <dt>Calls</dt>
        <dd><Figure of={totals.perSecond} unit="/s" /></dd>
      </div>
      <div>
        <dt>Errors</dt>
        <dd><Figure of={totals.errorPercent} unit="%" /></dd>
      </div>
      <div>
        <dt>p50 · p99</dt>
        <dd><Unit of={p50[1] === p99[1] ? [p50[0], ''] : p50} /> · <Unit of={p99} /></dd>
      </div>
      <div>
        <dt>Without a leader, {watched < 3540 ? 'last ' + span(watched) : 'last hour'}</dt>
        <dd>
          {readable(doc, 'leaders') !== 'ready' ? (
            <Unit of={['–', '']} />
          ) : (
            <Unit of={totals.gaps === 0 ? ['0', 's'] : [length, `${unit} in ${count(totals.gaps, 'change')}`]} />
          )}
        </dd>
      </div>
    </dl>
  );
}
