// How old the data are, and what is to be said of it.

import { age, clock, count } from './format.ts';
import type { Live } from './live.ts';
import type { Header, Level, NATS, Overview, SourceName } from './types.ts';

export interface Freshness {
  // What is shown is not what is now.
  old: boolean;
  seconds: number | null; // the age; null without data
  level: Level;
  verdict: string;
  news: string; // the verdict without the age
}

const patience = 3000;

// freshness judges a live document at a time of the browser's clock. The clock of the monitor may
// be another, so ages are added up of lengths by one clock each.
export function freshness(live: Live<Header>, now: number, began: number): Freshness {
  const { doc, broken } = live;
  if (doc === null) return withoutData(broken?.text ?? '', now - began > patience);
  const waited = now - live.received;
  const seconds = (waited + Date.parse(doc.at) - madeOf(doc)) / 1000;
  if (waited > patience) return oldData(`The monitor does not answer since ${clock(live.received, now, true)}`, seconds);
  if (!doc.nats.connected) return oldData(`Not connected to NATS since ${clock(Date.parse(doc.nats.since), now)}`, seconds);
  return { old: false, seconds, level: doc.verdict.level, verdict: doc.verdict.text, news: doc.verdict.text };
}

function withoutData(problem: string, waited: boolean): Freshness {
  if (problem !== '') return { old: true, seconds: null, level: 'critical', verdict: problem, news: problem };
  const verdict = waited ? 'The monitor has not answered yet' : 'Loading';
  return { old: waited, seconds: null, level: 'unknown', verdict, news: verdict };
}

function oldData(news: string, seconds: number): Freshness {
  return { old: true, seconds, level: 'critical', verdict: `${news}, what you see is ${age(seconds)} old`, news };
}

// madeOf is when the data of a document are of. While NATS is away that is when it went.
function madeOf(doc: Header): number {
  const made = Date.parse(doc.at);
  return doc.nats.connected ? made : Math.min(made, Date.parse(doc.nats.since));
}

// natsWords says what the monitor is connected to.
export function natsWords(nats: NATS): string {
  if (!nats.connected) return 'no NATS server';
  const version = `NATS ${nats.version}`;
  return version + (nats.cluster === '' ? '' : `, cluster ${nats.cluster}`) + (nats.jetstream ? '' : ', without JetStream');
}

// totalsWords counts what there is, but not what cannot be read or was not read yet: that is not 0.
export function totalsWords({ totals, sources }: Overview): string {
  const known = (name: SourceName) => {
    const state = sources.find((source) => source.name === name)?.state;
    return state === 'ready' || state === 'failed';
  };
  const words = known('instances') ? [count(totals.services, 'service'), count(totals.instances, 'instance')] : [];
  if (known('leaders')) words.push(count(totals.leaders, 'leader'));
  return words.join(', ');
}
