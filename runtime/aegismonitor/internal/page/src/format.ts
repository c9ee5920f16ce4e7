// Texts for figures, times and names. All of them are pure: the present time is a parameter.

const none = '–';

const digits = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });

// whole returns a whole number, with commas at the thousands.
export function whole(n: number): string {
  return digits.format(n);
}

// number returns a figure with about three digits that matter, and thousands with a comma.
export function number(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return none;
  const size = Math.abs(value);
  if (size >= 1e15) return value.toExponential(1);
  if (size >= 9.95 || Number.isInteger(value)) return whole(value);
  if (size >= 0.995) return value.toFixed(1);
  if (size >= 0.005) return value.toFixed(2);
  return '<0.01';
}

// milliseconds returns a latency as a figure and its unit, so that the unit can be small.
export function milliseconds(value: number | null): [string, string] {
  if (value === null) return [none, ''];
  if (value >= 10_000) return [number(value / 1000), 's'];
  return [number(value), 'ms'];
}

export function bytes(value: number | null): [string, string] {
  if (value === null) return [none, ''];
  const units = ['B', 'KB', 'MB', 'GB', 'TB', 'PB'];
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return [number(value), units[unit] ?? ''];
}

// span returns a length of time in words: "0.16 s", "42 s", "3 min", "2 h", "4 d".
export function span(seconds: number): string {
  if (!Number.isFinite(seconds)) return none;
  if (seconds < 0) seconds = 0;
  if (seconds < 0.995) return seconds.toFixed(2) + ' s';
  if (seconds < 9.95) return seconds.toFixed(1) + ' s';
  if (seconds < 119.5) return Math.round(seconds) + ' s';
  if (seconds < 7170) return Math.round(seconds / 60) + ' min';
  if (seconds < 172_800) return Math.round(seconds / 3600) + ' h';
  return Math.round(seconds / 86_400) + ' d';
}

// age returns the age of the data, whose width does not change below 100 s.
export function age(seconds: number): string {
  return seconds < 9.95 ? Math.max(0, seconds).toFixed(1) + ' s' : span(seconds);
}

const two = (n: number) => String(n).padStart(2, '0');

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

// clock returns the local time of day, with the day in front if it is not today's, and of another
// year only the date.
export function clock(at: number, now: number, seconds = false): string {
  const d = new Date(at);
  const today = new Date(now);
  const time = two(d.getHours()) + ':' + two(d.getMinutes()) + (seconds ? ':' + two(d.getSeconds()) : '');
  if (d.toDateString() === today.toDateString()) return time;
  if (d.getFullYear() === today.getFullYear()) return `${d.getDate()} ${months[d.getMonth()]} ${time}`;
  const date = `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`;
  return seconds ? `${date} ${time}` : date;
}

// when returns a time as one reads it: relative up to an hour, the clock beyond.
export function when(at: number, now: number): string {
  const ago = (now - at) / 1000;
  if (Math.abs(ago) >= 3600) return clock(at, now);
  if (ago < -0.5) return 'in ' + span(Math.round(-ago));
  return ago < 1 ? 'now' : span(Math.floor(ago));
}

// both returns a time as the title of when.
export function both(at: number, now: number): string {
  const ago = (now - at) / 1000;
  return `${clock(at, now, true)}, ${ago >= 0 ? span(ago) + ' ago' : 'in ' + span(-ago)}`;
}

// count returns a number with its noun: "1 letter", "38 letters".
export function count(n: number, one: string, many = one + 's'): string {
  return whole(n) + ' ' + (n === 1 ? one : many);
}

// Control characters, marks of the direction of text, and what has no width: all of them
// could make a name look like another one.
const unseen =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb]|[\u{e0000}-\u{e0fff}]/gu;

// pairs returns labels in order, as aegis call --where takes them.
export function pairs(labels: Record<string, string>): string {
  return Object.entries(labels).map(([key, value]) => `${key}=${value}`).sort().join(' ');
}

// visible returns a text with its unseen characters as escapes.
export function visible(text: string): string {
  // Nearly all names are plain, and there are thousands of them a second.
  if (/^[\x20-\x7e]*$/.test(text)) return text;
  return text.replace(unseen, (c) => `\\u{${(c.codePointAt(0) ?? 0).toString(16)}}`);
}

// splitName returns the package of a full name, with its dot, and the rest.
export function splitName(full: string): [string, string] {
  const dot = full.lastIndexOf('.');
  return [full.slice(0, dot + 1), full.slice(dot + 1)];
}
