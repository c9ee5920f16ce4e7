import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as format from '../src/format.ts';

test('figures have about three digits, and what is unknown is no zero', () => {
  const cases: [number | null, string][] = [
    [null, '–'], [NaN, '–'], [Infinity, '–'], [0, '0'], [0.0001, '<0.01'], [0.996, '1.0'], [9.96, '10'], [0.02, '0.02'], [0.4, '0.40'],
    [6.13, '6.1'], [212.4, '212'], [12480, '12,480'], [1e300, '1.0e+300'],
  ];
  for (const [value, want] of cases) assert.equal(format.number(value), want);
});

test('a length of time is said in its unit', () => {
  const cases: [number, string][] = [
    [-1, '0.00 s'], [0.163, '0.16 s'], [0.999, '1.0 s'], [4.2, '4.2 s'], [40, '40 s'], [180, '3 min'], [7200, '2 h'],
    [864000, '10 d'], [NaN, '–'],
  ];
  for (const [value, want] of cases) assert.equal(format.span(value), want);
});

test('a time is relative up to an hour and the clock beyond', () => {
  const now = new Date(2026, 10, 28, 14, 20, 0).getTime();
  const ago = (seconds: number) => format.when(now - seconds * 1000, now);
  assert.equal(ago(0), 'now');
  assert.equal(ago(42), '42 s');
  assert.equal(ago(180), '3 min');
  assert.equal(ago(3600), '13:20');
  assert.equal(ago(86_400), '27 Nov 14:20');
  assert.equal(ago(365 * 86_400), '2025-11-28');
  assert.equal(ago(-30), 'in 30 s');
  assert.equal(format.both(now - 60_000, now), '14:19:00, 60 s ago');
});

test('unseen characters of a name are shown', () => {
  assert.equal(format.visible('a\u202eb\u200bc\n'), 'a\\u{202e}b\\u{200b}c\\u{a}');
  assert.equal(format.visible('<b>שלום</b> é 🚀'), '<b>שלום</b> é 🚀');
  assert.equal(format.visible('\u{e0041}'), '\\u{e0041}');
});

test('a full name has a package and a rest', () => {
  assert.deepEqual(format.splitName('order.v1.OrderService'), ['order.v1.', 'OrderService']);
  assert.deepEqual(format.splitName('Plain'), ['', 'Plain']);
});

test('sizes have units', () => {
  assert.deepEqual(format.bytes(1_234_000), ['1.2', 'MB']);
  assert.deepEqual(format.bytes(null), ['–', '']);
  assert.deepEqual(format.milliseconds(31_000), ['31', 's']);
  assert.equal(format.count(1, 'letter'), '1 letter');
  assert.equal(format.count(1204, 'letter'), '1,204 letters');
});

test('labels are in order, as a flag takes them', () => {
  assert.equal(format.pairs({}), '');
  assert.equal(format.pairs({ team: 'orders', developer: 'anna', none: '' }), 'developer=anna none= team=orders');
});
