import { useState } from 'preact/hooks';
import { explain, pathOf, queryOf } from '../api.ts';
import { ActDialog, actWords, type Act } from '../dialog.tsx';
import { useFetched } from '../fetched.ts';
import { visible, whole } from '../format.ts';
import { Empty, MethodText, Prose, Section, Skeleton, State, Text, Time } from '../parts.tsx';
import { formatRoute, withQuery, type Route } from '../route.ts';
import { Table, type Column } from '../table.tsx';
import type { Letter, LetterGroup, Letters, May, Work } from '../types.ts';
import { PayloadBox } from './payload.tsx';

const pageSize = 50;

function groupAct(verb: Act['verb'], g: LetterGroup): Act {
  const body = { method: g.method, consumer: g.consumer, reason: g.reason, sequences: [], upTo: g.upTo, count: g.count };
  return { verb, service: g.service, what: `${g.service}.${g.method}${g.consumer === '' ? '' : ` for ${g.consumer}`}: ${g.reason}`, body };
}

function singleAct(verb: Act['verb'], service: string, letters: Letter[]): Act {
  const sequences = letters.map((letter) => letter.sequence);
  const body = { method: '', consumer: '', reason: '', sequences, upTo: 0, count: sequences.length };
  const methods = [...new Set(letters.map((letter) => letter.method))].join(', ');
  return { verb, service, what: `${service}.${methods}`, body };
}

// LetterGroups is the table of dead letters by method and reason.
export function LetterGroups({ groups, may }: { groups: LetterGroup[]; may: May }) {
  const [act, setAct] = useState<Act | null>(null);
  const button = (verb: Act['verb'], g: LetterGroup) => (
    <button type="button" class="row-button" onClick={() => setAct(groupAct(verb, g))}>{actWords(verb, g.count)}…</button>
  );
  const columns: Column<LetterGroup>[] = [
    { key: 'name', title: 'Method', least: 220, cell: (g) => <MethodText service={g.service} method={g.method} extra={g.consumer} /> },
    { key: 'reason', title: 'Reason', least: 240, cell: (g) => <span class="text" title={visible(g.example)}><bdi>{visible(g.reason)}</bdi></span> },
    { key: 'count', title: 'Letters', width: 76, figures: true, cell: (g) => <b>{whole(g.count)}</b> },
    { key: 'first', title: 'First', width: 96, figures: true, cell: (g) => <Time at={g.first} /> },
    { key: 'last', title: 'Last', width: 96, figures: true, cell: (g) => <Time at={g.last} /> },
    // A page that may not act has no buttons at all.
    ...(may.act ? [{ key: 'act', title: 'Actions', untitled: true, width: 236, figures: true, cell: (g: LetterGroup) => <span class="acts">{button('putback', g)} {button('delete', g)}</span> }] : []),
  ];
  return (
    <>
      <Table
        label="Dead letters" rows={groups} columns={columns} id={(g) => [g.service, g.method, g.consumer, g.reason].join('\n')}
        link={(g) => formatRoute('letters', [g.service], { method: g.method, consumer: g.consumer, reason: g.reason })}
      />
      {act !== null && <ActDialog act={act} onClose={() => setAct(null)} />}
    </>
  );
}

// LettersView has the letters of a group, a page at a time. The stream of the page tells how many
// there are by now.
export function LettersView({ doc, route }: { doc: Work; route: Route }) {
  const service = route.args[0] ?? '';
  const { method = '', consumer = '', reason = '', after = '', letter = '' } = route.query;
  const [again, setAgain] = useState(0);
  const [act, setAct] = useState<Act | null>(null);
  const [chosen, setChosen] = useState<ReadonlySet<number>>(new Set());
  const path = pathOf('deadletters', service) + queryOf({ method, consumer, reason, after, limit: pageSize });
  const { value, error } = useFetched<Letters>(path, 0, again);
  const group = doc.deadLetters.find((g) => g.service === service && g.method === method && g.consumer === consumer && g.reason === reason);
  const letters = value?.letters ?? [];
  const picked = letters.filter((l) => chosen.has(l.sequence));
  const shown = letters.find((l) => String(l.sequence) === letter);
  const choose = (l: Letter) => {
    const next = new Set(chosen);
    if (!next.delete(l.sequence)) next.add(l.sequence);
    setChosen(next);
  };
  const closed = (changed: boolean) => {
    setAct(null);
    if (!changed) return;
    setChosen(new Set());
    setAgain(again + 1);
  };
  return (
    <>
      {group !== undefined && (
        <div class="filters">
          <span class="wrap"><b>{whole(group.count)}</b> in this group, the last one <Time at={group.last} />. For example: <Prose of={group.example} /></span>
          {doc.may.act && (['putback', 'delete'] as const).map((verb) => (
            <button key={verb} type="button" onClick={() => setAct(groupAct(verb, group))}>{actWords(verb, group.count)}…</button>
          ))}
        </div>
      )}
      <Section
        id="letters" title="Letters" sub={value === null ? '' : `${letters.length} on this page, the oldest first`}
        tools={doc.may.act && picked.length > 0 && (['putback', 'delete'] as const).map((verb) => (
          <button key={verb} type="button" onClick={() => setAct(singleAct(verb, service, picked))}>{actWords(verb, picked.length)} chosen…</button>
        ))}
      >
        {error !== null ? (
          <div class="note"><State level="critical"><Prose of={explain(error)} /></State></div>
        ) : value === null ? (
          <Skeleton rows={8} />
        ) : letters.length === 0 ? (
          <Empty>No dead letters are here{after === '' ? '' : ' any more'}. They come when a handler gives up for good, or after its last attempt.</Empty>
        ) : (
          <Table
            label="Letters" rows={letters} columns={letterColumns(doc.may, chosen, choose)} id={(l) => String(l.sequence)}
            link={(l) => withQuery(route, { letter: String(l.sequence) === letter ? '' : String(l.sequence) })}
            marked={(l) => String(l.sequence) === letter}
          />
        )}
        <p class="pages">
          {after !== '' && <a class="link" href={withQuery(route, { after: '', letter: '' })}>First page</a>}
          {value !== null && value.next !== null && <a class="link" href={withQuery(route, { after: String(value.next), letter: '' })}>Next page</a>}
        </p>
      </Section>
      {shown !== undefined && (
        <Section
          id="letter" title={`Letter ${shown.sequence}`}
          tools={doc.may.act && (
            <>
              {shown.returnable && <button type="button" onClick={() => setAct(singleAct('putback', service, [shown]))}>{actWords('putback', 1)}…</button>}
              <button type="button" onClick={() => setAct(singleAct('delete', service, [shown]))}>{actWords('delete', 1)}…</button>
            </>
          )}
        >
          <LetterBox of={shown} />
        </Section>
      )}
      {act !== null && <ActDialog act={act} onClose={closed} />}
    </>
  );
}

function letterColumns(may: May, chosen: ReadonlySet<number>, choose: (l: Letter) => void): Column<Letter>[] {
  return [
    { key: 'sequence', title: 'Letter', width: 84, cell: (l) => <span class="mono">{l.sequence}</span> },
    ...(may.act ? [{
      key: 'choose', title: 'Choose', width: 70,
      cell: (l: Letter) => <input type="checkbox" aria-label={`Choose letter ${l.sequence}`} checked={chosen.has(l.sequence)} onChange={() => choose(l)} />,
    }] : []),
    { key: 'method', title: 'Method', width: 150, cell: (l) => <Text of={l.method} mono /> },
    { key: 'id', title: 'Command', width: 190, cell: (l) => (l.id === '' ? <span class="dim">event</span> : <a class="link" href={formatRoute('command', [l.service, l.id])}><Text of={l.id} mono /></a>) },
    { key: 'code', title: 'Code', width: 172, cell: (l) => <Text of={l.code} mono /> },
    { key: 'reason', title: 'Reason', least: 200, cell: (l) => <Text of={l.reason} /> },
    { key: 'attempts', title: 'Attempts', width: 80, figures: true, cell: (l) => l.attempts },
    { key: 'time', title: 'Given up', width: 96, figures: true, cell: (l) => <Time at={l.time} /> },
    { key: 'sent', title: 'Sent', width: 96, figures: true, cell: (l) => <Time at={l.sent} /> },
  ];
}

export function LetterBox({ of }: { of: Letter }) {
  return (
    <div class="panel letter">
      <dl class="facts">
        <dt>Reason</dt>
        <dd><span class="mono">{visible(of.code)}</span> <Prose of={of.reason} /></dd>
        <dt>Attempts</dt>
        <dd>{of.attempts}</dd>
        <dt>Given up</dt>
        <dd><Time at={of.time} /></dd>
        <dt>Sent</dt>
        <dd><Time at={of.sent} /></dd>
        {of.consumer !== '' && <><dt>Consumer</dt><dd class="mono"><Prose of={of.consumer} /></dd></>}
        {!of.returnable && <><dt>Cannot be put back</dt><dd>It has no data.</dd></>}
      </dl>
      <PayloadBox of={of} title="Message" />
    </div>
  );
}
