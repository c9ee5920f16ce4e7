import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mergeHistory } from '../src/history.ts';
import { LineReader } from '../src/sse.ts';
import type { History } from '../src/types.ts';

function history(from: number, rates: number[], step = 10): History {
  const same = rates.map(() => null);
  return {
    service: 's', method: '', instance: '', from, step, perSecond: rates,
    errorPercent: same, p50Ms: same, p90Ms: same, p99Ms: same, heatBoundsMs: [1], heat: rates.map((r) => [r]),
  };
}

test('a newer piece continues a history and replaces its last step', () => {
  const merged = mergeHistory(history(100, [1, 2, 3]), history(120, [30, 4]), 3600);
  assert.equal(merged.from, 100);
  assert.deepEqual(merged.perSecond, [1, 2, 30, 4]);
  assert.deepEqual(merged.heat, [[1], [2], [30], [4]]);
});

test('a history does not grow beyond its length', () => {
  let all = history(0, [0]);
  for (let i = 1; i < 1000; i++) all = mergeHistory(all, history(i * 10, [i]), 100);
  assert.equal(all.perSecond.length, 10);
  assert.equal(all.from, 9900);
  assert.equal(all.perSecond[9], 999);
});

test('a history with a hole, or other steps, begins anew', () => {
  assert.deepEqual(mergeHistory(history(0, [1]), history(50, [5]), 3600).perSecond, [5]);
  assert.deepEqual(mergeHistory(history(0, [1]), history(5, [5], 5), 3600).perSecond, [5]);
  assert.deepEqual(mergeHistory(null, history(5, [5]), 3600).perSecond, [5]);
});

test('events are cut out of any pieces of the stream', () => {
  const stream = ': keep-alive\n\nevent: document\nid: 7\ndata: {"a":1}\n\r\nevent: document\r\ndata: {}\r\n\n';
  for (const size of [1, 2, 5, 1000]) {
    const reader = new LineReader(100);
    const found: string[] = [];
    for (let i = 0; i < stream.length; i += size) found.push(...reader.push(stream.slice(i, i + size)));
    assert.deepEqual(found, [' {"a":1}', ' {}']);
  }
});

test('a line without an end is refused', () => {
  const reader = new LineReader(10);
  reader.push('data: 123');
  assert.throws(() => reader.push('456'), /too long/);
});
