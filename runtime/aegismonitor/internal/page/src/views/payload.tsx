import { bytes, visible } from '../format.ts';
import { Prose } from '../parts.tsx';
import type { Payload } from '../types.ts';

// PayloadBox is a message, as far as the monitor shows it.
export function PayloadBox({ of, title }: { of: Payload; title: string }) {
  const size = bytes(of.bytes).join(' ');
  if (of.hidden) {
    return (
      <p class="ink2">
        {title}: {size}. This monitor shows no payloads; one that is started with <code>--show-payloads</code> does.
      </p>
    );
  }
  const metadata = Object.entries(of.metadata ?? {});
  return (
    <>
      <p class="ink2">{title}: {size}</p>
      {of.undecoded !== '' ? <p class="ink2">It cannot be decoded: <Prose of={of.undecoded} /></p> : <pre tabIndex={0}>{json(of.json)}</pre>}
      {metadata.length > 0 && (
        <dl class="facts">
          {metadata.map(([key, values]) => [
            <dt key={key} class="mono">{visible(key)}</dt>,
            <dd key={key + '='} class="mono"><Prose of={values.join(', ')} /></dd>,
          ])}
        </dl>
      )}
    </>
  );
}

// json returns a message as text. Its line breaks are those of the layout: breaks within strings
// are escapes already.
export function json(value: unknown): string {
  return JSON.stringify(value ?? null, null, 2).split('\n').map(visible).join('\n');
}
