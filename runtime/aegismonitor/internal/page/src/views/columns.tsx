// The columns of the tables that have many.

import { bytes, milliseconds, number, pairs, visible } from '../format.ts';
import { Figure, Grade, Lasting, ServiceText, Spark, State, Text, Time, Unit } from '../parts.tsx';
import type { Column } from '../table.tsx';
import type { Figures, Instance, LeaderName, Service } from '../types.ts';

function figureColumns<T extends Figures>(): Column<T>[] {
  return [
    { key: 'rate', title: 'Calls/s', width: 74, figures: true, sort: (row) => row.perSecond, of: (row) => number(row.perSecond), cell: (row) => <Figure of={row.perSecond} /> },
    { key: 'errors', title: 'Errors', width: 70, figures: true, sort: (row) => row.errorPercent, of: (row) => number(row.errorPercent), cell: (row) => <Figure of={row.errorPercent} unit="%" /> },
    { key: 'p50', title: 'p50', width: 74, figures: true, sort: (row) => row.p50Ms, of: (row) => milliseconds(row.p50Ms).join(' '), cell: (row) => <Unit of={milliseconds(row.p50Ms)} /> },
    { key: 'p99', title: 'p99', width: 74, figures: true, sort: (row) => row.p99Ms, of: (row) => milliseconds(row.p99Ms).join(' '), cell: (row) => <Unit of={milliseconds(row.p99Ms)} /> },
  ];
}

const [rate, errors, p50, p99] = figureColumns<Service>() as [Column<Service>, Column<Service>, Column<Service>, Column<Service>];

export const serviceColumns: Column<Service>[] = [
  { key: 'name', title: 'Service', least: 220, sort: (s) => s.name, of: (s) => s.name, cell: (s) => <ServiceText of={s.name} /> },
  { key: 'grade', title: 'Grade', width: 58, sort: (s) => s.score, of: (s) => `${s.grade} ${number(s.score)}`, cell: (s) => <Grade grade={s.grade} score={s.score} /> },
  { key: 'state', title: 'State', width: 190, of: (s) => `${s.level} ${s.why}`, cell: (s) => <State level={s.level}><Text of={s.why} /></State> },
  { key: 'leader', title: 'Leader', width: 150, of: (s) => s.leaders.map((l) => `${l.group} ${l.instance} ${l.state}`).join('\n'), cell: (s) => <LeaderCell leaders={s.leaders} /> },
  { key: 'instances', title: 'Running', width: 80, figures: true, sort: (s) => s.instances, hint: 'Running instances of all', of: (s) => `${s.running} ${s.instances}`, cell: (s) => (s.running === s.instances ? s.instances : `${s.running} of ${s.instances}`) },
  rate,
  { key: 'hour', title: 'Last hour', width: 132, of: (s) => s.hour.join(), cell: (s) => <Spark values={s.hour} /> },
  errors, p50, p99,
];

// LeaderCell names the leader, and of several groups the first one without.
function LeaderCell({ leaders }: { leaders: LeaderName[] }) {
  const worst = leaders.find((leader) => leader.state !== 'leads') ?? leaders[0];
  if (worst === undefined) return <span class="dim">–</span>;
  const others = leaders.length > 1 ? `+${leaders.length - 1}` : '';
  const all = leaders.map((l) => `${visible(l.group)}: ${l.instance === '' ? 'none' : visible(l.instance)} ${l.state}`).join('\n');
  return (
    <span class="text" title={all}>
      {worst.state === 'leads' ? (
        <bdi class="mono">{visible(worst.instance)}</bdi>
      ) : (
        <span class="bad">{worst.state === 'silent' ? 'silent' : 'no leader'}</span>
      )}{' '}
      <span class="dim">{others}</span>
    </span>
  );
}

// instanceColumns are the columns of a table of these instances. Zone, node, build and labels
// have one only if an instance has such a thing.
export function instanceColumns(instances: readonly Instance[]): Column<Instance>[] {
  return [...common, ...said.filter((column) => instances.some((i) => column.of?.(i) !== ''))];
}

const common: Column<Instance>[] = [
  { key: 'name', title: 'Instance', least: 120, sort: (i) => i.name, of: (i) => `${i.name} ${i.reserved}`, cell: (i) => <InstanceText of={i} /> },
  { key: 'grade', title: 'Grade', width: 58, sort: (i) => i.score, of: (i) => `${i.grade} ${number(i.score)}`, cell: (i) => <Grade grade={i.grade} score={i.score} /> },
  { key: 'state', title: 'State', width: 100, sort: (i) => i.state, of: (i) => `${i.level} ${i.state}`, cell: (i) => <State level={i.level}>{i.state === '' ? '' : visible(i.state.toLowerCase())}</State> },
  { key: 'why', title: 'Why', least: 120, of: why, cell: (i) => <Text of={why(i)} /> },
  { key: 'leads', title: 'Leads', width: 72, sort: (i) => i.leads.length, of: (i) => i.leads.join(', '), cell: (i) => <Text of={i.leads.join(', ')} mono /> },
  { key: 'version', title: 'Version', width: 70, sort: (i) => i.version, of: (i) => i.version, cell: (i) => <Text of={i.version} mono /> },
  { key: 'started', title: 'Up for', width: 64, figures: true, hint: 'Since its process started', sort: (i) => -Date.parse(i.started), of: (i) => i.started, cell: (i) => <Lasting since={i.started} /> },
  { key: 'heard', title: 'Heard', width: 58, figures: true, hint: 'Its last heartbeat', sort: (i) => (i.heard === null ? null : -Date.parse(i.heard)), of: (i) => i.heard ?? '', cell: (i) => <Time at={i.heard} /> },
  ...figureColumns<Instance>(),
  { key: 'inflight', title: 'In flight', width: 68, figures: true, sort: (i) => i.inFlight, of: (i) => number(i.inFlight), cell: (i) => <Figure of={i.inFlight} /> },
  { key: 'cpu', title: 'CPU', width: 58, figures: true, sort: (i) => i.cpuPercent, of: (i) => number(i.cpuPercent), cell: (i) => <Figure of={i.cpuPercent} unit="%" /> },
  { key: 'memory', title: 'Memory', width: 74, figures: true, sort: (i) => i.memoryBytes, of: (i) => bytes(i.memoryBytes).join(' '), cell: (i) => <Unit of={bytes(i.memoryBytes)} /> },
];

// What instances say of themselves.
const said: Column<Instance>[] = [
  { key: 'zone', title: 'Zone', width: 92, sort: (i) => i.zone, of: (i) => i.zone, cell: (i) => <Text of={i.zone} mono /> },
  { key: 'node', title: 'Node', width: 110, sort: (i) => i.node, of: (i) => i.node, cell: (i) => <Text of={i.node} mono /> },
  { key: 'build', title: 'Build', width: 92, sort: (i) => i.build, of: (i) => i.build, cell: (i) => <Text of={i.build} mono /> },
  { key: 'labels', title: 'Labels', least: 140, sort: (i) => pairs(i.labels), of: (i) => pairs(i.labels), cell: (i) => <Text of={pairs(i.labels)} mono /> },
];

// originOf returns what an instance says of itself, in one line.
export function originOf(i: Instance): string {
  const words: [string, string][] = [['zone ', i.zone], ['node ', i.node], ['build ', i.build], ['', pairs(i.labels)]];
  const said = words.filter(([, text]) => text !== '').map(([name, text]) => name + text);
  return [...(i.reserved ? ['reserved'] : []), ...said].join(' · ');
}

// InstanceText is the name of an instance, with a mark if it takes only calls that choose it.
function InstanceText({ of }: { of: Instance }) {
  if (!of.reserved) return <Text of={of.name} mono />;
  return (
    <span class="text" title={visible(of.name) + ': reserved for calls that name it or choose it by a label'}>
      <bdi class="mono">{visible(of.name)}</bdi> <small class="tag">reserved</small>
    </span>
  );
}

// why says what is to be said of an instance beside its state.
function why(i: Instance): string {
  const refused = Object.entries(i.refused).filter(([, n]) => n > 0).map(([reason, n]) => `refused ${n}: ${reason}`);
  return [i.subscriber ? 'subscriber' : '', i.why, ...refused].filter((text) => text !== '').join('; ');
}
