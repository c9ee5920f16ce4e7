// Sorting and filtering of rows.

export type SortValue = string | number | null;

export interface Sort {
  key: string; // "" for the order of the document
  down: boolean;
}

// parseSort reads "p99" (descending) or "p99.up".
export function parseSort(text: string | undefined): Sort {
  if (!text) return { key: '', down: false };
  return text.endsWith('.up') ? { key: text.slice(0, -3), down: false } : { key: text, down: true };
}

export function formatSort(sort: Sort): string {
  return sort.down || sort.key === '' ? sort.key : sort.key + '.up';
}

// nextSort is the sort after a click on a column: descending, ascending, and the document's.
export function nextSort(sort: Sort, key: string): Sort {
  if (sort.key !== key) return { key, down: true };
  return sort.down ? { key, down: false } : { key: '', down: false };
}

const byName = new Intl.Collator('en', { numeric: true });

// sorted returns the rows in order of a value. Unknown values are last in both directions, and
// rows with the same value stay in the order of the document.
export function sorted<T>(rows: readonly T[], value: (row: T) => SortValue, down: boolean): T[] {
  return [...rows].sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x === null || y === null) return (x === null ? 1 : 0) - (y === null ? 1 : 0);
    const order = typeof x === 'number' && typeof y === 'number' ? x - y : byName.compare(String(x), String(y));
    return down ? -order : order;
  });
}

// matches reports whether each word of a filter is in one of the texts, without regard to case.
export function matches(filter: string, ...texts: string[]): boolean {
  const text = texts.join('\n').toLowerCase();
  return filter.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}
