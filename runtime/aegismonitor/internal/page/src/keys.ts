// The keys of the page.

import { formatRoute, type ViewName } from './route.ts';

export const keys: [string, string][] = [
  ['/', 'search'],
  ['g o', 'overview'],
  ['g l', 'leaders'],
  ['g s', 'services'],
  ['g d', 'durable work'],
  ['g e', 'events: the activity'],
  ['j', 'next row'],
  ['k', 'previous row'],
  ['Enter', 'open the row'],
  ['Esc', 'close the dialog, leave the field, or go back'],
  ['?', 'this list'],
];

const pages: Record<string, ViewName> = { o: 'overview', s: 'overview', l: 'leaders', d: 'work', e: 'activity' };

// listen handles the keys of the whole page until the returned function is called.
export function listen(): () => void {
  let gAt = 0;
  const onKey = (event: KeyboardEvent) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.querySelector('dialog[open]') !== null) return; // The dialog has its own.
    const target = event.target as HTMLElement;
    if (target.matches('input, textarea, select')) {
      if (event.key === 'Escape') {
        event.preventDefault(); // the browser would empty a search field
        target.blur();
      }
      return;
    }
    const afterG = event.timeStamp - gAt < 1500;
    gAt = event.key === 'g' ? event.timeStamp : 0;
    if (press(event.key, afterG)) event.preventDefault();
  };
  document.addEventListener('keydown', onKey);
  return () => document.removeEventListener('keydown', onKey);
}

// press does what a key means and reports whether it means something.
function press(key: string, afterG: boolean): boolean {
  const page = afterG ? pages[key] : undefined;
  if (page !== undefined) {
    location.hash = formatRoute(page);
    if (key === 's') focusServices(30);
    return true;
  }
  switch (key) {
    case '/':
      document.getElementById('search')?.focus();
      return true;
    case '?':
      location.hash = formatRoute('help');
      return true;
    case 'j':
      return step(1);
    case 'k':
      return step(-1);
    case 'Escape':
      if (location.hash.length > 2) history.back();
      return true;
  }
  return false;
}

// step moves the focus to another row. The rows of long tables that are out of sight are not
// there, but those next to the ones that are seen are, and the focus scrolls.
function step(by: number): boolean {
  const rows = [...document.querySelectorAll<HTMLElement>('main [data-row]')];
  const at = rows.indexOf(document.activeElement as HTMLElement);
  const next = at < 0 ? rows[0] : rows[at + by];
  focus(next);
  return true;
}

// focusServices waits for the table, which comes with the document of the page.
function focusServices(tries: number): void {
  const row = document.querySelector<HTMLElement>('#services [data-row]');
  if (row !== null) focus(row);
  else if (tries > 0) setTimeout(() => focusServices(tries - 1), 50);
}

function focus(row: HTMLElement | undefined): void {
  row?.focus({ preventScroll: true });
  row?.scrollIntoView({ block: 'nearest' });
}
