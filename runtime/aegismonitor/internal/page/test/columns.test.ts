import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Instance } from '../src/types.ts';
import { instanceColumns, originOf } from '../src/views/columns.tsx';

function instance(of: Partial<Instance>): Instance {
  return {
    service: 's', name: 'one', process: 'p', version: '', state: 'RUNNING', level: 'ok', started: '', heard: null, subscriber: false, grade: '',
    score: null, why: '', unhealthy: false, cpuPercent: null, memoryBytes: null, perSecond: null, errorPercent: null, p50Ms: null, p90Ms: null,
    p99Ms: null, inFlight: null, refused: {}, leads: [], zone: '', node: '', build: '', labels: {}, reserved: false, ...of,
  };
}

const keys = (instances: Instance[]) => instanceColumns(instances).map((column) => column.key);

test('a table of instances has columns for what one of them says of itself', () => {
  const few = keys([instance({})]);
  assert.deepEqual(few.slice(0, 3), ['name', 'grade', 'state']);
  const some = keys([instance({}), instance({ zone: 'eu-1a' }), instance({ labels: { developer: 'anna' } })]);
  assert.deepEqual(some, [...few, 'zone', 'labels']);
  assert.equal(keys([instance({ node: 'n', build: 'b' })]).length, few.length + 2);
});

test('the cell of a name is made anew when the instance becomes reserved', () => {
  const [name] = instanceColumns([]);
  assert.notEqual(name?.of?.(instance({})), name?.of?.(instance({ reserved: true })));
});

test('what an instance says of itself is one line', () => {
  assert.equal(originOf(instance({})), '');
  assert.equal(originOf(instance({ zone: 'eu-1a', build: 'v9', labels: { b: '2', a: '1' }, reserved: true })), 'reserved · zone eu-1a · build v9 · a=1 b=2');
});
