// The state of the page is in the fragment of its URL: "#/services/x?sort=p99". So every state
// has a link, the back button works, and the page works under any path.

export type ViewName =
  | 'overview' | 'service' | 'leaders' | 'work' | 'command' | 'letters' | 'activity' | 'call' | 'search' | 'help' | 'lost';

export interface Route {
  view: ViewName;
  // The parts of the path behind the view's name, such as the service.
  args: string[];
  // The rest of the state: sorting, filters, selection, the range of time.
  query: Record<string, string>;
}

const heads: Record<string, [ViewName, number]> = {
  '': ['overview', 0],
  services: ['service', 1],
  leaders: ['leaders', 0],
  work: ['work', 0],
  commands: ['command', 2],
  deadletters: ['letters', 1],
  activity: ['activity', 0],
  call: ['call', 2],
  search: ['search', 0],
  help: ['help', 0],
};

// parseRoute reads a fragment. Whatever cannot be read is the view "lost", which says so.
export function parseRoute(fragment: string): Route {
  const [path = '', query = ''] = split(fragment.replace(/^#?\/?/, ''), '?');
  const [head = '', ...rest] = path.split('/');
  const found = Object.hasOwn(heads, head) ? heads[head] : undefined;
  const args = rest.filter((part) => part !== '').map(decode);
  if (found === undefined || args.length !== found[1]) return { view: 'lost', args: [], query: {} };
  return { view: found[0], args, query: Object.fromEntries(new URLSearchParams(query)) };
}

// formatRoute is the inverse of parseRoute. Empty values are left out.
export function formatRoute(view: ViewName, args: string[] = [], query: Record<string, string> = {}): string {
  const head = Object.keys(heads).find((name) => heads[name]?.[0] === view) ?? '';
  const path = '#/' + [head, ...args.map(encodeURIComponent)].join('/');
  const given = Object.entries(query).filter(([, value]) => value !== '');
  return given.length === 0 ? path : path + '?' + new URLSearchParams(given).toString();
}

// withQuery returns the link to a route with some of its state changed.
export function withQuery(route: Route, changes: Record<string, string>): string {
  return formatRoute(route.view, route.args, { ...route.query, ...changes });
}

function split(text: string, at: string): [string, string] {
  const i = text.indexOf(at);
  return i < 0 ? [text, ''] : [text.slice(0, i), text.slice(i + 1)];
}

// decode keeps a part as it is if it was not encoded well: it is somebody's typing.
function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
