import type { ComponentChildren } from 'preact';
import { memo } from 'preact/compat';
import { useEffect, useRef, useState } from 'preact/hooks';
import { get, hasToken, pathOf, saveToken } from './api.ts';
import { Field } from './field.tsx';
import { age, splitName, visible, whole } from './format.ts';
import { freshness, natsWords, totalsWords, type Freshness } from './fresh.ts';
import { listen } from './keys.ts';
import { useLive, type Live } from './live.ts';
import { Mark, Now, Skeleton } from './parts.tsx';
import { formatRoute, parseRoute, type Route, type ViewName } from './route.ts';
import { useTheme, type Theme } from './theme.ts';
import type { Activity, Header, Leaders, Level, Overview, ServiceDetail, Work } from './types.ts';
import { ActivityView } from './views/activity.tsx';
import { CallView } from './views/call.tsx';
import { CommandView } from './views/command.tsx';
import { HelpView } from './views/help.tsx';
import { LeadersView } from './views/leaders.tsx';
import { LettersView } from './views/letters.tsx';
import { OverviewView } from './views/overview.tsx';
import { SearchView } from './views/search.tsx';
import { ServiceSub, ServiceView } from './views/service.tsx';
import { WorkView } from './views/work.tsx';

// App is the whole page: the route in the fragment says what it shows.
export function App() {
  const route = useRoute();
  const [theme, changeTheme] = useTheme();
  const [again, setAgain] = useState(0);
  const live = useLive<Header>(streamOf(route), again);
  const fresh = useFreshness(live, streamOf(route));
  const nav = useNav(route, live);
  const main = useRef<HTMLElement>(null);
  const place = route.view + '\n' + route.args.join('\n');
  useEffect(listen, []);
  useEffect(() => {
    document.title = titleOf(route) + ' – Aegis monitor';
    window.scrollTo(0, 0);
  }, [place]);

  if (live.wantsToken) return <Token wrong={hasToken()} onToken={() => setAgain(again + 1)} />;
  return (
    <Now.Provider value={nowOf(live)}>
      <a class="skip" href="#main" onClick={(event) => { event.preventDefault(); main.current?.focus(); }}>Skip to the content</a>
      <div class="app">
        <Side view={route.view} service={route.args[0] ?? ''} nav={nav} old={fresh.now.old} namespace={live.doc?.nats.namespace ?? ''} />
        <div>
          <header class="top">
            <SearchBox route={route} />
            <Age live={live} began={fresh.began} />
            <button type="button" class="theme" onClick={changeTheme} aria-label={`Use the ${theme === 'dark' ? 'light' : 'dark'} theme`}>
              {theme === 'dark' ? 'Light' : 'Dark'}
            </button>
          </header>
          <main ref={main} id="main" tabIndex={-1}>
            <Head route={route} doc={live.doc} fresh={fresh.now} />
            <div class={fresh.now.old && live.doc !== null ? 'old' : ''}>
              <View key={place} route={route} doc={live.doc} broken={live.broken !== null} theme={theme} />
            </div>
          </main>
        </div>
      </div>
    </Now.Provider>
  );
}

// streamOf is the live document of a view. Those that read something else as well have the one
// that tells what they need of it.
function streamOf(route: Route): string {
  switch (route.view) {
    case 'service':
    case 'call':
      return pathOf('services', route.args[0] ?? '');
    case 'leaders':
    case 'activity':
      return route.view;
    case 'work':
    case 'command':
    case 'letters':
      return 'work';
  }
  return 'overview';
}

function View({ route, doc, broken, theme }: { route: Route; doc: Header | null; broken: boolean; theme: Theme }) {
  // These do not wait for the stream.
  if (route.view === 'help') return <HelpView />;
  if (route.view === 'search') return <SearchView route={route} />;
  if (route.view === 'command') return <CommandView route={route} />;
  if (route.view === 'lost') return <p>This address leads nowhere: <a href={formatRoute('overview')}>go to the overview</a></p>;
  if (doc === null && broken) return null; // the head says why nothing comes
  if (doc === null) return <><Skeleton rows={4} /><section><Skeleton rows={16} /></section></>;
  // The stream of a view is of its type: streamOf says so.
  switch (route.view) {
    case 'service':
      return <ServiceView doc={doc as ServiceDetail} route={route} theme={theme} />;
    case 'leaders':
      return <LeadersView doc={doc as Leaders} route={route} />;
    case 'work':
      return <WorkView doc={doc as Work} route={route} />;
    case 'letters':
      return <LettersView doc={doc as Work} route={route} />;
    case 'activity':
      return <ActivityView doc={doc as Activity} route={route} />;
    case 'call':
      return <CallView doc={doc as ServiceDetail} route={route} />;
  }
  return <OverviewView doc={doc as Overview} route={route} />;
}

const titles: Record<ViewName, string> = {
  overview: 'Overview', service: 'Service', leaders: 'Leaders', work: 'Durable work', command: 'Command',
  letters: 'Dead letters', activity: 'Activity', call: 'Call', search: 'Search', help: 'Help', lost: 'Nothing here',
};

function titleOf(route: Route): string {
  const [service = '', part = ''] = route.args.map(visible);
  switch (route.view) {
    case 'service':
      return service;
    case 'command':
      return part;
    case 'call':
      return 'Call ' + part;
    case 'letters':
      return 'Dead letters of ' + service + (route.query['method'] ? '.' + visible(route.query['method']) : '');
  }
  return titles[route.view];
}

// Head has the verdict, which is the first line of each view, and what the view is of.
function Head({ route, doc, fresh }: { route: Route; doc: Header | null; fresh: Freshness }) {
  const overview = route.view === 'overview';
  const text = visible(fresh.verdict);
  const verdict = <><Mark level={fresh.level} alone /><span><bdi>{text}</bdi></span></>;
  return (
    <>
      {/* Screen readers tell its changes, so it has no age, which would change all the time. */}
      <div role="status" class="hidden">{visible(fresh.news)}</div>
      {overview ? (
        <h1 class={`verdict l-${fresh.level}`}>{verdict}</h1>
      ) : (
        <>
          <a class={`verdict small l-${fresh.level}`} href={formatRoute('overview')}>{verdict}</a>
          <h1><bdi>{titleOf(route)}</bdi></h1>
        </>
      )}
      <div class="sub">
        <Sub route={route} doc={doc} />
      </div>
    </>
  );
}

function Sub({ route, doc }: { route: Route; doc: Header | null }) {
  const [service = ''] = route.args;
  if (doc === null) return <>&nbsp;</>;
  switch (route.view) {
    case 'overview': {
      return <>{[totalsWords(doc as Overview), visible(natsWords(doc.nats))].filter((words) => words !== '').join('; ')}</>;
    }
    case 'service':
      return <ServiceSub doc={doc as ServiceDetail} />;
    case 'command':
    case 'call':
      return <>of <a class="link" href={formatRoute('service', [service])}><bdi>{visible(service)}</bdi></a></>;
    case 'letters':
      return <bdi>{visible(route.query['reason'] ?? '')}{route.query['consumer'] ? `, given up by ${visible(route.query['consumer'])}` : ''}</bdi>;
  }
  return null;
}

// Age is how old the data are. It alone is rendered when that changes.
function Age({ live, began }: { live: Live<Header>; began: number }) {
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = window.setInterval(() => document.hidden || tick((n) => n + 1), 500);
    return () => clearInterval(timer);
  }, []);
  const { old, seconds } = freshness(live, Date.now(), began);
  return (
    <div class={old ? 'live stale' : 'live'} title="How old the data are">
      <Mark level={old ? 'critical' : live.doc === null ? 'unknown' : 'ok'} />
      <span class="word">{old ? 'Old' : live.doc === null ? 'Waiting' : 'Live'}</span>
      <span class="age">{seconds === null ? '' : age(seconds)}</span>
    </div>
  );
}

// Side is rendered when something of it changes, which is seldom.
const Side = memo(function Side(props: { view: ViewName; service: string; nav: Nav; old: boolean; namespace: string }) {
  const { nav, old, namespace } = props;
  const pages: [ViewName, string][] = [['overview', 'Overview'], ['leaders', 'Leaders'], ['work', 'Durable work'], ['activity', 'Activity'], ['help', 'Help']];
  const packages = Map.groupBy(nav.services, (s) => splitName(s.name)[0].replace(/\.$/, ''));
  return (
    <nav class="side" aria-label="Pages">
      <div class="brand"><img src="icon.svg" alt="" />Aegis<bdi class="dim text" title={visible(namespace)}>{visible(namespace)}</bdi></div>
      <ul>
        {pages.map(([view, name]) => (
          <li key={view}><NavLink href={formatRoute(view)} on={props.view === view}>{name}<Count of={view} nav={nav} /></NavLink></li>
        ))}
      </ul>
      <div class={old ? 'services old' : 'services'}>
        {[...packages].sort(([a], [b]) => (a < b ? -1 : 1)).map(([pkg, members]) => (
          <div key={pkg}>
            <h3 class="text" title={visible(pkg)}><bdi>{visible(pkg)}</bdi></h3>
            <ul>
              {members.map((s) => (
                <li key={s.name}>
                  <NavLink href={formatRoute('service', [s.name])} on={props.service === s.name}>
                    <bdi class="text" title={visible(s.name)}>{visible(splitName(s.name)[1])}</bdi>
                    {s.level !== 'ok' && <Mark level={s.level} alone />}
                  </NavLink>
                </li>
              ))}
            </ul>
          </div>
        ))}
      </div>
    </nav>
  );
});

// Count is what one wants to know before one goes there.
function Count({ of, nav }: { of: ViewName; nav: Nav }) {
  if (of === 'leaders' && nav.leaders > 0) return <span class="n">{nav.leaders}</span>;
  if (of === 'work' && nav.deadLetters > 0) {
    return <span class="n bad" title="dead letters">{whole(nav.deadLetters)}<span class="hidden"> dead letters</span></span>;
  }
  return null;
}

function NavLink({ href, on, children }: { href: string; on: boolean; children: ComponentChildren }) {
  return <a href={href} {...(on ? { 'aria-current': 'page' as const } : {})}>{children}</a>;
}

// SearchBox follows what is typed. The first letter is a new page, to go back from.
function SearchBox({ route }: { route: Route }) {
  const searching = route.view === 'search';
  const go = (text: string) => {
    const link = formatRoute('search', [], { q: text });
    // The address knows it before the route of this rendering does.
    if (parseRoute(location.hash).view === 'search') location.replace(link);
    else location.hash = link;
  };
  const open = (event: Event) => {
    event.preventDefault();
    document.querySelector<HTMLElement>('main [data-row]')?.focus();
  };
  return (
    <form class="search" role="search" onSubmit={open}>
      <Field
        id="search" label="Search" placeholder="Search services, instances, commands"
        value={searching ? (route.query['q'] ?? '') : ''} onText={go}
      />
      <kbd aria-hidden="true">/</kbd>
    </form>
  );
}

// Token asks for the bearer token, which the browser forgets with the tab.
function Token({ wrong, onToken }: { wrong: boolean; onToken: () => void }) {
  const [token, setToken] = useState('');
  const send = (event: Event) => {
    event.preventDefault();
    saveToken(token.trim());
    onToken();
  };
  return (
    <main>
      <form class="token" onSubmit={send}>
        <h1>This monitor asks for a token</h1>
        <p class="ink2" role="status">{wrong ? 'The token that was given is not the right one.' : 'It is kept until this tab is closed.'}</p>
        <input type="password" aria-label="Token" autocomplete="current-password" autofocus value={token} onInput={(event) => setToken(event.currentTarget.value)} />
        <div><button class="main" disabled={token.trim() === ''}>Open the monitor</button></div>
      </form>
    </main>
  );
}

function useRoute(): Route {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const follow = () => setHash(location.hash);
    window.addEventListener('hashchange', follow);
    return () => window.removeEventListener('hashchange', follow);
  }, []);
  return parseRoute(hash);
}

// useFreshness renders anew each second while no document comes, so that ages grow.
function useFreshness(live: Live<Header>, path: string): { now: Freshness; began: number } {
  const [began, setBegan] = useState(Date.now());
  const [, tick] = useState(0);
  useEffect(() => setBegan(Date.now()), [path]);
  useEffect(() => {
    const timer = window.setInterval(() => {
      if (!document.hidden && Date.now() - live.received > 1500) tick((n) => n + 1);
    }, 1000);
    return () => clearInterval(timer);
  }, [live.received]);
  return { now: freshness(live, Date.now(), began), began };
}

// nowOf is the present time by the clock of the monitor.
function nowOf(live: Live<Header>): number {
  return live.doc === null ? Date.now() : Date.parse(live.doc.at) + Date.now() - live.received;
}

// Nav is what the side of the page shows.
interface Nav {
  services: { name: string; level: Level }[];
  leaders: number;
  deadLetters: number;
}

const navEvery = 10_000;

// useNav reads it from the stream of the page, or now and then if that does not have it. It
// returns the same one as long as nothing of it changes.
function useNav(route: Route, live: Live<Header>): Nav {
  const nav = useRef<Nav>({ services: [], leaders: 0, deadLetters: 0 });
  const [, render] = useState(0);
  const inStream = streamOf(route) === 'overview';
  const take = (doc: Overview) => {
    const next = navOf(doc);
    if (JSON.stringify(next) !== JSON.stringify(nav.current)) nav.current = next;
  };
  useEffect(() => {
    if (inStream || live.wantsToken) return;
    const ended = new AbortController();
    const read = async () => {
      if (document.hidden) return;
      try {
        take(await get<Overview>('overview', ended.signal));
        render((n) => n + 1);
      } catch {
        // Without it the page still works, and its head says what is wrong.
      }
    };
    void read();
    const timer = window.setInterval(read, navEvery);
    return () => {
      ended.abort();
      clearInterval(timer);
    };
  }, [inStream, live.wantsToken]);
  if (inStream && live.doc !== null) take(live.doc as Overview);
  return nav.current;
}

// navOf has the services in the order of their names, so that nothing moves when a state changes.
function navOf(doc: Overview): Nav {
  const services = doc.services.map(({ name, level }) => ({ name, level })).sort((a, b) => (a.name < b.name ? -1 : 1));
  return { services, leaders: doc.totals.leaders, deadLetters: doc.totals.deadLetters ?? 0 };
}
