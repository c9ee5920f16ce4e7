import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatRoute, parseRoute, withQuery } from '../src/route.ts';

test('a route is the same after a fragment', () => {
  const args = ['order.v1.Order/Service ü%?#'];
  const query = { sort: 'p99.up', q: 'a&b=c é' };
  assert.deepEqual(parseRoute(formatRoute('service', args, query)), { view: 'service', args, query });
});

test('fragments of people are read', () => {
  assert.equal(parseRoute('').view, 'overview');
  assert.equal(parseRoute('#').view, 'overview');
  assert.equal(parseRoute('#/').view, 'overview');
  assert.equal(parseRoute('#/leaders/').view, 'leaders');
  assert.deepEqual(parseRoute('#/services/50%').args, ['50%']);
});

test('a route that is none is lost', () => {
  for (const fragment of ['#/nothing', '#/services', '#/services/a/b', '#/toString', '#/__proto__', '#/commands/a']) {
    assert.equal(parseRoute(fragment).view, 'lost', fragment);
  }
});

test('a change of the state keeps the rest of it', () => {
  const route = parseRoute('#/activity?kind=leader&q=x');
  assert.equal(withQuery(route, { q: '' }), '#/activity?kind=leader');
  assert.equal(withQuery(route, { kind: 'left' }), '#/activity?kind=left&q=x');
});
