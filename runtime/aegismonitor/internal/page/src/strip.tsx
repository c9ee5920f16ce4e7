// Strip is the history of a leadership as a picture: each reign a tone, each time without a
// leader a red cut as wide as it lasted, and its length in words below.

import { useContext } from 'preact/hooks';
import { clock, span, visible } from './format.ts';
import { Now } from './parts.tsx';
import type { Gap, Leadership } from './types.ts';

const tones = 4;

export function Strip({ of, words = true }: { of: Leadership; words?: boolean }) {
  const now = useContext(Now);
  const [from, to] = [Date.parse(of.from), Math.max(Date.parse(of.to), Date.parse(of.from) + 1000)];
  const place = (start: string, end: string | null) => {
    const left = Math.max(0, (Date.parse(start) - from) / (to - from));
    const right = Math.min(1, end === null ? 1 : (Date.parse(end) - from) / (to - from));
    // Steps of half a pixel or so: else each strip would be laid out anew each second.
    return { left: percent(left), width: percent(right - left) };
  };
  const until = (end: string | null) => (end === null ? 'now' : clock(Date.parse(end), now, true));
  // An instance has the same tone each time that it leads.
  const names = [...new Set(of.reigns.map((reign) => reign.instance))].sort();
  return (
    <div class="strip-box">
      <div class="strip" role="img" aria-label={describe(of)}>
        {of.reigns.map((reign) => (
          <i
            key={reign.term} class={'reign t' + (names.indexOf(reign.instance) % tones)}
            style={place(reign.from, reign.to)}
            title={`${visible(reign.instance)} led from ${clock(Date.parse(reign.from), now, true)} to ${until(reign.to)}, term ${reign.term}`}
          >
            <bdi>{visible(reign.instance)}</bdi>
          </i>
        ))}
        {of.gaps.map((gap) => (
          <i key={gap.from} class="cut" style={place(gap.from, gap.to)} title={gapWords(gap) + ' at ' + clock(Date.parse(gap.from), now, true)} />
        ))}
      </div>
      {words && (
        <div class="strip-axis">
          <span>{clock(from, now)}</span>
          <span class="strip-words">{gapsWords(of.gaps)}</span>
          <span>{clock(to, now)}</span>
        </div>
      )}
    </div>
  );
}

function percent(part: number): string {
  return (Math.max(0, part) * 100).toFixed(1) + '%';
}

// gapWords says how long a gap was and why it came.
export function gapWords(gap: Gap): string {
  const cause = { stopped: 'stopped', lost: 'connection lost', silent: 'silent' }[gap.cause] ?? 'cause unknown';
  const length = gap.to === null ? 'a leader is missing for ' + span(gap.seconds) : span(gap.seconds);
  return `${gap.exact ? '' : 'about '}${length} (${cause})`;
}

function gapsWords(gaps: Gap[]): string {
  if (gaps.length === 0) return 'no gap';
  const shown = gaps.slice(-3).map(gapWords).join(', ');
  const earlier = gaps.length > 3 ? `, and ${gaps.length - 3} before` : '';
  return (gaps.length === 1 ? 'gap: ' : `${gaps.length} gaps: `) + shown + earlier;
}

function describe(of: Leadership): string {
  const leader = of.instance === '' ? 'nobody leads' : visible(of.instance) + ' leads';
  return `${leader}; ${of.reigns.length} reigns, ${gapsWords(of.gaps)}, ${span(of.leaderlessSeconds)} without a leader`;
}
