import { useEffect, useState } from 'preact/hooks';
import { explain, pathOf, post } from '../api.ts';
import { useFetched } from '../fetched.ts';
import { milliseconds, visible } from '../format.ts';
import { Empty, Prose, Section, Skeleton, State } from '../parts.tsx';
import { formatRoute, type Route } from '../route.ts';
import type { CallOutcome, CallRequest, MethodForm, ServiceDetail } from '../types.ts';
import { json } from './payload.tsx';

// CallView calls a method with a request that somebody has typed.
export function CallView({ doc, route }: { doc: ServiceDetail; route: Route }) {
  const [service = '', method = ''] = route.args;
  const path = pathOf('services', service, 'methods', method);
  const { value: form, error } = useFetched<MethodForm>(doc.may.call ? path : '');
  if (!doc.may.call) return <Empty line="aegis monitor --allow-calls">This monitor calls no methods. One that is started so does:</Empty>;
  if (error !== null) return <div class="note"><State level="critical"><Prose of={explain(error)} /></State></div>;
  if (form === null) return <Skeleton rows={8} />;
  if (form.streams) return <Empty line={`aegis call ${service}/${method}`}>{visible(method)} is a stream, which this form cannot call. The command line can:</Empty>;
  return <Form key={path} form={form} path={path + '/call'} instances={doc.instances.filter((i) => !i.subscriber).map((i) => i.name)} />;
}

function Form({ form, path, instances }: { form: MethodForm; path: string; instances: string[] }) {
  const [request, setRequest] = useState(JSON.stringify(form.example ?? {}, null, 2));
  const [metadata, setMetadata] = useState('');
  const [seconds, setSeconds] = useState('');
  const [instance, setInstance] = useState('');
  const [state, setState] = useState<{ running: boolean; outcome: CallOutcome | null; problem: string }>({ running: false, outcome: null, problem: '' });
  // A call whose form is left goes on at its server: nobody waits for it any more.
  const [ended] = useState(() => new AbortController());
  useEffect(() => () => ended.abort(), []);

  const call = async (event: Event) => {
    event.preventDefault();
    const body = bodyOf(request, metadata, seconds, instance);
    if (typeof body === 'string') return setState({ running: false, outcome: null, problem: body });
    setState({ running: true, outcome: null, problem: '' });
    try {
      setState({ running: false, outcome: await post<CallOutcome>(path, body, ended.signal), problem: '' });
    } catch (err) {
      if (!ended.signal.aborted) setState({ running: false, outcome: null, problem: explain(err) });
    }
  };
  return (
    <>
      <form class="form" onSubmit={call}>
        {form.description !== '' && <p><Prose of={form.description} /></p>}
        <p class="ink2">{visible(form.pattern)}; <code>{visible(form.request)}</code> to <code>{visible(form.response)}</code></p>
        <label>
          Request, as JSON
          <textarea rows={12} spellcheck={false} value={request} onInput={(e) => setRequest(e.currentTarget.value)} />
        </label>
        <div class="fields">
          <label>
            Instance
            <select value={instance} onChange={(e) => setInstance(e.currentTarget.value)}>
              <option value="">any</option>
              {instances.map((name) => <option key={name} value={name}>{visible(name).slice(0, 80)}</option>)}
            </select>
          </label>
          <label>
            Deadline in seconds
            <input inputMode="decimal" placeholder="that of the method" value={seconds} onInput={(e) => setSeconds(e.currentTarget.value)} />
          </label>
        </div>
        <label>
          Metadata, a line each
          <textarea rows={2} placeholder="key: value" spellcheck={false} value={metadata} onInput={(e) => setMetadata(e.currentTarget.value)} />
        </label>
        <div><button class="main" disabled={state.running}>{state.running ? 'Calling…' : 'Call ' + visible(form.method)}</button></div>
      </form>
      <div role="status">
        {state.problem !== '' && <p class="bad"><Prose of={state.problem} /></p>}
        {state.outcome !== null && <Outcome of={state.outcome} service={form.service} />}
      </div>
    </>
  );
}

// bodyOf returns the body of the call, or what is wrong with what was typed.
function bodyOf(request: string, metadata: string, seconds: string, instance: string): CallRequest | string {
  const body: CallRequest = { request: null, metadata: {}, timeoutMs: 0, instance };
  try {
    body.request = JSON.parse(request);
  } catch (err) {
    return 'The request is no JSON: ' + (err as Error).message;
  }
  if (seconds.trim() !== '') {
    const value = Number(seconds);
    if (!(value > 0)) return 'The deadline has to be a number of seconds, such as 2.5.';
    body.timeoutMs = Math.round(value * 1000);
  }
  for (const line of metadata.split('\n').filter((line) => line.trim() !== '')) {
    const colon = line.indexOf(':');
    if (colon <= 0) return `The metadata “${visible(line)}” is no “key: value”.`;
    (body.metadata[line.slice(0, colon).trim().toLowerCase()] ??= []).push(line.slice(colon + 1).trim());
  }
  return body;
}

function Outcome({ of, service }: { of: CallOutcome; service: string }) {
  return (
    <Section id="outcome" title="Outcome" sub={milliseconds(of.ms).join(' ')}>
      <State level={of.code === 'OK' ? 'ok' : 'critical'}><span class="mono">{visible(of.code)}</span></State>
      {of.error !== '' && <p class="wrap"><Prose of={of.error} /></p>}
      {of.code !== 'OK' && <p class="ink2">{of.mayHaveRun ? 'A handler may have run.' : 'No handler has run.'}</p>}
      {of.commandId !== '' && <p>It was sent as the command <a class="mono" href={formatRoute('command', [service, of.commandId])}><Prose of={of.commandId} /></a>.</p>}
      {of.response !== null && <pre tabIndex={0}>{json(of.response)}</pre>}
      {(of.replies ?? []).map((reply) => (
        <div key={reply.instance} class="panel">
          <State level={reply.code === 'OK' ? 'ok' : 'critical'}><bdi class="mono">{visible(reply.instance)} {visible(reply.code)}</bdi></State>
          {reply.error !== '' && <p><Prose of={reply.error} /></p>}
          {reply.response !== null && <pre tabIndex={0}>{json(reply.response)}</pre>}
        </div>
      ))}
    </Section>
  );
}
