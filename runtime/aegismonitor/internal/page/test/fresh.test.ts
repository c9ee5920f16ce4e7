import assert from 'node:assert/strict';
import { test } from 'node:test';
import { freshness } from '../src/fresh.ts';
import type { Live } from '../src/live.ts';
import type { Header } from '../src/types.ts';

// The clock of the monitor is an hour ahead of the browser's: that must not make data old.
const received = new Date(2026, 10, 28, 14, 2, 0).getTime();
const made = received + 3_600_000;

function live(connected: boolean, since = made): Live<Header> {
  const doc = {
    at: new Date(made).toISOString(),
    nats: { connected, since: new Date(since).toISOString() },
    verdict: { level: 'ok', text: 'All is well' },
  } as Header;
  return { doc, received, broken: null, wantsToken: false };
}

test('fresh data have the verdict of the monitor', () => {
  const fresh = freshness(live(true), received + 900, 0);
  assert.equal(fresh.old, false);
  assert.equal(fresh.verdict, 'All is well');
  assert.equal(fresh.seconds, 0.9);
});

test('data are old when the monitor is silent', () => {
  const fresh = freshness(live(true), received + 40_000, 0);
  assert.equal(fresh.old, true);
  assert.equal(fresh.verdict, 'The monitor does not answer since 14:02:00, what you see is 40 s old');
});

test('data are as old as the connection to NATS is away, though documents come', () => {
  const fresh = freshness(live(false, made - 40_000), received, 0);
  assert.equal(fresh.old, true);
  assert.equal(fresh.verdict, 'Not connected to NATS since 15:01, what you see is 40 s old');
  assert.ok(!/old/.test(fresh.news), 'what screen readers tell does not change each second');
});

test('without data there is no verdict', () => {
  const none: Live<Header> = { doc: null, received: 0, broken: null, wantsToken: false };
  assert.equal(freshness(none, 1000, 0).verdict, 'Loading');
  assert.equal(freshness(none, 5000, 0).old, true);
  const broken = { ...none, broken: { since: 0, text: 'The monitor does not answer.' } };
  assert.equal(freshness(broken, 1000, 0).verdict, 'The monitor does not answer.');
});
