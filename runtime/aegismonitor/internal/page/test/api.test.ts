import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pathOf, queryOf } from '../src/api.ts';

test('names cannot leave their part of a path', () => {
  assert.equal(pathOf('services', '../x?y#z/é'), 'services/..%2Fx%3Fy%23z%2F%C3%A9');
});

test('empty values are left out of a query', () => {
  assert.equal(queryOf({ method: '', reason: 'a&b', limit: 50 }), '?reason=a%26b&limit=50');
  assert.equal(queryOf({ method: '' }), '');
});
