import { span, visible } from '../format.ts';
import { Empty, readable, Section, Skeleton, Sources, State, Text, Time } from '../parts.tsx';
import { formatRoute, type Route } from '../route.ts';
import { matches } from '../sort.ts';
import { Strip } from '../strip.tsx';
import type { Leaders, LeaderState, Leadership as Group, Level } from '../types.ts';
import { Filter } from './filter.tsx';

const levels: Record<LeaderState, Level> = { leads: 'ok', silent: 'attention', gone: 'critical', none: 'critical' };
const words: Record<LeaderState, string> = {
  leads: 'leads',
  silent: 'does not answer',
  gone: 'no leader, connection lost',
  none: 'no leader',
};

// Leadership is a group with its history.
export function Leadership({ of, full = false }: { of: Group; full?: boolean }) {
  return (
    <div class="panel">
      <div class="leadership">
        <a class="wrap" href={formatRoute('service', [of.service])} data-row>
          <span class="text" title={visible(`${of.service}, group ${of.group}`)}>
            <bdi class="strong">{visible(of.service)}</bdi> <span class="ink2">group</span> <bdi class="mono">{visible(of.group)}</bdi>
          </span>
        </a>
        <State level={levels[of.state] ?? 'unknown'}>
          {of.instance !== '' && <><bdi class="mono">{visible(of.instance).slice(0, 40)}</bdi> </>}
          {words[of.state]}{' '}
          <span class="dim"><Time at={of.state === 'leads' ? of.since : of.stateSince} /></span>
        </State>
        <Strip of={of} />
      </div>
      {full && (
        <dl class="facts">
          <dt>Term</dt>
          <dd class="mono">{of.term === 0 ? '–' : of.term}</dd>
          <dt>Lease</dt>
          <dd>{of.leaseMs === null ? '–' : span(of.leaseMs / 1000)}</dd>
          <dt>Candidates</dt>
          <dd>
            {of.candidates.length === 0 ? '–' : of.candidates.map((c, i) => (
              <span key={c.instance}>
                {i > 0 && ', '}
                <bdi class="mono">{visible(c.instance)}</bdi>
                <span class="ink2">{c.leads ? ' leads' : c.stands ? '' : ' does not stand'}</span>
              </span>
            ))}
          </dd>
          <dt>Without a leader</dt>
          <dd>{of.gaps.length === 0 ? 'never' : span(of.leaderlessSeconds)}</dd>
        </dl>
      )}
    </div>
  );
}

export function LeadersView({ doc, route }: { doc: Leaders; route: Route }) {
  const filter = route.query['q'] ?? '';
  const shown = doc.leaders.filter((l) => matches(filter, l.service, l.group, l.instance));
  return (
    <>
      <Sources header={doc} names={['leaders']} />
      <Section id="groups" title="Groups" sub="the last hour" tools={<Filter route={route} label="Filter groups" />}>
        {shown.length > 0 ? (
          <div class="leaders">
            {shown.slice(0, 200).map((leadership) => (
              <Leadership key={leadership.service + '/' + leadership.group} of={leadership} />
            ))}
          </div>
        ) : readable(doc, 'leaders') === 'loading' ? (
          <Skeleton rows={8} />
        ) : doc.leaders.length > 0 ? (
          <Empty>No group has <Text of={filter} mono /> in its name.</Empty>
        ) : (
          readable(doc, 'leaders') === 'ready' && (
            <Empty line="option (aegis.v1.method) = {single_active: {}};">
              No service has a leader. Instances elect one for methods with a single active instance:
            </Empty>
          )
        )}
        {shown.length > 200 && <p class="ink2">200 of {shown.length} groups: filter them by name.</p>}
      </Section>
    </>
  );
}
