import { ApiError, explain, pathOf } from '../api.ts';
import { useFetched } from '../fetched.ts';
import { number, visible } from '../format.ts';
import { Bar, Empty, Prose, Section, Skeleton, State, Text, Time } from '../parts.tsx';
import { formatRoute, type Route } from '../route.ts';
import type { CommandDetail, Level } from '../types.ts';
import { LetterBox } from './letters.tsx';
import { PayloadBox } from './payload.tsx';

// CommandView is one command by its id. It is no live document, so it is read each second.
export function CommandView({ route }: { route: Route }) {
  const [service = '', id = ''] = route.args;
  const { value, error } = useFetched<CommandDetail>(pathOf('commands', service, id), 1000);
  if (value === null) {
    if (error === null) return <Skeleton rows={8} />;
    const missing = error instanceof ApiError && error.problem.status === 404;
    return missing ? (
      <Empty>
        There is no command <Text of={id} mono /> in <Text of={service} mono />. Results are kept for a time and then
        removed; or the id is of another service: <a href={formatRoute('search', [], { q: id })}>search for it</a>
      </Empty>
    ) : (
      <div class="note"><State level="critical"><Prose of={explain(error)} /></State></div>
    );
  }
  return (
    <>
      {error !== null && <div class="note"><State level="unknown">This is not read anew: <Prose of={explain(error)} /></State></div>}
      <Section id="command" title="Command">
        <Facts of={value} />
      </Section>
      <Section id="payload" title={value.method === '' && value.code === '' ? 'Response' : 'Request'}>
        <PayloadBox of={value} title="Size" />
      </Section>
      {value.letters.length > 0 && (
        <Section id="letters" title="Dead letters" sub={value.letters.length}>
          {value.letters.map((letter) => <LetterBox key={letter.sequence} of={letter} />)}
        </Section>
      )}
    </>
  );
}

function Facts({ of }: { of: CommandDetail }) {
  const times: [string, string | null][] = [['Stored', of.stored], ['Due', of.due], ['Expires', of.expires], ['Last failure', of.failedAt]];
  return (
    <dl class="facts panel">
      <dt>State</dt>
      <dd><State level={levelOf(of)}>{visible(of.state).toLowerCase()}{of.canceling && ', was canceled'}</State></dd>
      {of.method !== '' && <><dt>Method</dt><dd><a class="link" href={formatRoute('service', [of.service], { method: of.method })}><Prose of={of.method} /></a></dd></>}
      {of.priority !== '' && <><dt>Priority</dt><dd>{visible(of.priority).toLowerCase()}</dd></>}
      <dt>Attempts</dt>
      <dd>{number(of.attempt)}{of.failures > 0 && `, ${of.failures} failed`}</dd>
      {(of.percent !== null || of.message !== '') && (
        <>
          <dt>Progress</dt>
          <dd>
            {of.percent !== null && <>{number(of.percent)} % <Bar of={of.percent} most={100} /></>}
            <Prose of={of.message} />
          </dd>
        </>
      )}
      {(of.code !== '' || of.error !== '') && <><dt>Error</dt><dd><span class="mono">{visible(of.code)}</span> <Prose of={of.error} /></dd></>}
      {times.filter(([, at]) => at !== null).map(([name, at]) => [<dt key={name}>{name}</dt>, <dd key={name + '='}><Time at={at} /></dd>])}
    </dl>
  );
}

function levelOf(of: CommandDetail): Level {
  if (of.letters.length > 0) return 'critical';
  return of.code !== '' || of.failures > 0 ? 'attention' : 'ok';
}
