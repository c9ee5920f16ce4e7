// The history of figures, which comes in pieces.

import type { History } from './types.ts';

type Lists = Pick<History, 'perSecond' | 'errorPercent' | 'p50Ms' | 'p90Ms' | 'p99Ms' | 'heat'>;

const lists: (keyof Lists)[] = ['perSecond', 'errorPercent', 'p50Ms', 'p90Ms', 'p99Ms', 'heat'];

// mergeHistory returns an older piece of a history continued by a newer one, as far back as a
// length in seconds. Where both have a step the newer one is right, as the last step of a piece
// was not over yet.
export function mergeHistory(old: History | null, next: History, seconds: number): History {
  // Other steps, other bounds, or a hole between the two: the monitor has begun anew.
  const fits =
    old !== null &&
    old.step === next.step &&
    old.from <= next.from &&
    next.from <= old.from + old.perSecond.length * old.step &&
    old.heatBoundsMs.join() === next.heatBoundsMs.join();
  if (!fits || next.step <= 0) return next;
  const keep = Math.round((next.from - old.from) / old.step);
  const drop = Math.max(0, keep + next.perSecond.length - Math.ceil(seconds / next.step));
  const merged: History = { ...next, from: old.from + drop * old.step };
  for (const name of lists) {
    (merged[name] as unknown[]) = [...old[name].slice(0, keep), ...next[name]].slice(drop);
  }
  return merged;
}
