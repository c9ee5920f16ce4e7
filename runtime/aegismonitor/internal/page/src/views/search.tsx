import { explain, queryOf } from '../api.ts';
import { useFetched } from '../fetched.ts';
import { Empty, Prose, ServiceText, Skeleton, State, Text } from '../parts.tsx';
import { formatRoute, type Route } from '../route.ts';
import { Table, type Column } from '../table.tsx';
import type { Result, Results } from '../types.ts';

const columns: Column<Result>[] = [
  { key: 'name', title: 'Name', least: 260, cell: (r) => <Text of={r.name} mono={r.kind !== 'service'} /> },
  { key: 'kind', title: 'Kind', width: 120, cell: (r) => <Text of={r.kind} /> },
  { key: 'service', title: 'Service', least: 200, cell: (r) => <ServiceText of={r.service} /> },
  { key: 'state', title: 'State', width: 150, cell: (r) => <State level={r.level} /> },
];

function linkOf(r: Result): string {
  switch (r.kind) {
    case 'method':
      return formatRoute('service', [r.service], { method: r.name });
    case 'instance':
      return formatRoute('service', [r.service], { instance: r.instance || r.name });
    case 'command':
      return formatRoute('command', [r.service, r.name]);
    case 'group':
      return formatRoute('leaders', [], { q: r.service });
    case 'queue':
    case 'stream':
      return formatRoute('work', [], { q: r.name });
  }
  return formatRoute('service', [r.service || r.name]);
}

export function SearchView({ route }: { route: Route }) {
  const q = (route.query['q'] ?? '').trim();
  const { value, error } = useFetched<Results>(q === '' ? '' : 'search' + queryOf({ q }));
  if (q === '') return <Empty>Services, instances, methods, groups of leaders, queues and streams by a part of their name, instances by their zone, node, build and labels too, and commands by their id.</Empty>;
  if (error !== null) return <div class="note"><State level="critical"><Prose of={explain(error)} /></State></div>;
  if (value === null) return <Skeleton rows={6} />;
  if (value.results.length === 0) return <Empty>Nothing has <Text of={q} mono /> in its name. The id of a command has to be complete.</Empty>;
  return (
    <>
      <Table label="Results" rows={value.results} columns={columns} id={(r) => [r.kind, r.service, r.name, r.instance].join('\n')} link={linkOf} />
      {value.more && <p class="ink2">There are more: type more of the name.</p>}
    </>
  );
}
