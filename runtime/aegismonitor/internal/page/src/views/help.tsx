import { keys } from '../keys.ts';
import { Mark, Section } from '../parts.tsx';

export function HelpView() {
  return (
    <>
      <Section id="keys" title="Keys">
        <dl class="facts panel">
          {keys.map(([key, what]) => [
            <dt key={key}>{key.split(' ').map((k) => <span key={k}><kbd>{k}</kbd> </span>)}</dt>,
            <dd key={key + '='}>{what}</dd>,
          ])}
        </dl>
      </Section>
      <Section id="signs" title="Signs">
        <dl class="facts panel">
          <dt><Mark level="ok" alone /></dt><dd>well</dd>
          <dt><Mark level="unknown" alone /></dt><dd>cannot be seen, or is not known yet</dd>
          <dt><Mark level="attention" alone /></dt><dd>needs attention</dd>
          <dt><Mark level="critical" alone /></dt><dd>critical</dd>
          <dt>–</dt><dd>a figure that is not known; it is not 0</dd>
          <dt><span class="strip sample"><i class="cut" /></span></dt><dd>a time without a leader, as wide as it lasted</dd>
        </dl>
      </Section>
      <Section id="links" title="Links">
        <p>Each state of the page has an address: what is sorted, filtered or chosen is in it, so it can be sent to others.</p>
      </Section>
    </>
  );
}
