// ActDialog asks before dead letters are put back or deleted, with the words of the button that
// opened it, and reports what became of each.

import { useEffect, useRef, useState } from 'preact/hooks';
import { explain, pathOf, post } from './api.ts';
import { count, visible, whole } from './format.ts';
import { Prose } from './parts.tsx';
import type { LetterAction, LetterOutcome } from './types.ts';

export interface Act {
  verb: 'putback' | 'delete';
  service: string;
  // Which letters they are, in words.
  what: string;
  body: LetterAction;
}

// actWords are those of the button, the question and the confirmation.
export function actWords(verb: Act['verb'], n: number): string {
  return verb === 'putback' ? `Put ${whole(n)} back` : `Delete ${whole(n)}`;
}

export function ActDialog({ act, onClose }: { act: Act; onClose: (changed: boolean) => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [running, setRunning] = useState(false);
  const [outcome, setOutcome] = useState<LetterOutcome | null>(null);
  const [problem, setProblem] = useState('');
  const n = act.body.count;
  const words = actWords(act.verb, n);
  useEffect(() => dialog.current?.showModal(), []);

  const run = async () => {
    setRunning(true);
    setProblem('');
    try {
      setOutcome(await post<LetterOutcome>(pathOf('deadletters', act.service, act.verb), act.body));
    } catch (err) {
      setProblem(explain(err));
    }
    setRunning(false);
  };
  return (
    <dialog ref={dialog} aria-labelledby="act-title" onClose={() => onClose(outcome !== null || running)}>
      <h2 id="act-title">{outcome === null ? words + '?' : doneWords(act.verb, outcome)}</h2>
      {outcome === null ? (
        <>
          <p class="wrap">
            {n === 1 ? 'This is 1 dead letter' : `These are ${count(n, 'dead letter')}`} of <Prose of={act.what} />.{' '}
            {act.verb === 'putback'
              ? `${n === 1 ? 'It goes' : 'They go'} back to where ${n === 1 ? 'it' : 'they'} came from, and a handler will work ${n === 1 ? 'it' : 'them'} again.`
              : `${n === 1 ? 'It is' : 'They are'} lost for good, with the data.`}
          </p>
          <p class="ink2">If there are more by now, nothing is done.</p>
        </>
      ) : (
        <Report outcome={outcome} of={n} />
      )}
      <p role="status" class="bad wrap">{problem !== '' && <Prose of={problem} />}</p>
      <div class="buttons">
        <button type="button" onClick={() => dialog.current?.close()}>{outcome === null ? 'Cancel' : 'Close'}</button>
        {outcome === null && (
          <button type="button" class={act.verb === 'delete' ? 'danger' : 'main'} disabled={running} onClick={run}>
            {running ? 'Working…' : words}
          </button>
        )}
      </div>
    </dialog>
  );
}

function doneWords(verb: Act['verb'], outcome: LetterOutcome): string {
  const done = `${count(outcome.done, 'letter')} ${outcome.done === 1 ? 'was' : 'were'} ${verb === 'putback' ? 'put back' : 'deleted'}`;
  return outcome.failed === 0 ? done : `${done}, ${outcome.failed} ${outcome.failed === 1 ? 'stays' : 'stay'}`;
}

function Report({ outcome, of }: { outcome: LetterOutcome; of: number }) {
  const gone = of - outcome.done - outcome.failed;
  if (outcome.failed === 0 && gone <= 0) return <p>All of them; none is left.</p>;
  return (
    <>
      {gone > 0 && <p class="wrap">{count(gone, 'letter')} {gone === 1 ? 'was' : 'were'} gone by then. Letters that came since are left alone: look again.</p>}
      <ul class="wrap">
        {outcome.left.map((left) => (
          <li key={left.sequence}>
            Letter {left.sequence}: <span class="mono">{visible(left.code)}</span> <Prose of={left.problem} />
          </li>
        ))}
      </ul>
      {outcome.failed > outcome.left.length && <p class="ink2">and {outcome.failed - outcome.left.length} more</p>}
    </>
  );
}
