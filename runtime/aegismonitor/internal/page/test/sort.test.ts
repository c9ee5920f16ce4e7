import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatSort, matches, nextSort, parseSort, sorted } from '../src/sort.ts';

test('unknown values are last in both directions', () => {
  const rows = [3, null, 1, 2];
  assert.deepEqual(sorted(rows, (v) => v, true), [3, 2, 1, null]);
  assert.deepEqual(sorted(rows, (v) => v, false), [1, 2, 3, null]);
});

test('names with numbers are in the order of the numbers, and rows do not jump', () => {
  assert.deepEqual(sorted(['a-10', 'a-2', 'A-1'], (v) => v, false), ['A-1', 'a-2', 'a-10']);
  const same = [{ n: 1, k: 'x' }, { n: 1, k: 'y' }];
  assert.deepEqual(sorted(same, (v) => v.n, true), same);
});

test('clicks on a column go down, up and back', () => {
  let sort = parseSort(undefined);
  const seen = [1, 2, 3].map(() => formatSort((sort = nextSort(sort, 'p99'))));
  assert.deepEqual(seen, ['p99', 'p99.up', '']);
  assert.deepEqual(parseSort('p99.up'), { key: 'p99', down: false });
});

test('each word of a filter is looked for', () => {
  assert.ok(matches('order  LEFT', 'order-1', 'has left'));
  assert.ok(!matches('order joined', 'order-1', 'has left'));
  assert.ok(matches('', 'x'));
});
