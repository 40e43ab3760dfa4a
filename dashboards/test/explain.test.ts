// The inputs of an indicator, wherever it stands in the tree of a score.
import { expect, test } from 'vitest';
import { inputsOf } from '../src/model/explain';

const leaf = (indicator: string, inputs: unknown) => ({ indicator, score: 90, inputs });
const tree = {
  scheme: 's', score: 80,
  indicators: [
    leaf('a', { closed: { value: 3, cases: ['c1', 'c2', 'c3'], cases_total: 3 }, grids: { value: 12 } }),
    { group: 'care', indicators: [leaf('b', { rework: { value: null } }), { group: 'deeper', indicators: [leaf('c', {})] }] },
  ],
};

test('found at any depth; a count without cases has none', () => {
  expect(inputsOf(tree, 'a')).toEqual([
    { name: 'closed', value: 3, cases: ['c1', 'c2', 'c3'], total: 3 }, { name: 'grids', value: 12, cases: [], total: null },
  ]);
  expect(inputsOf(tree, 'b')).toEqual([{ name: 'rework', value: null, cases: [], total: null }]);
  expect(inputsOf(tree, 'c')).toEqual([]);
});

test('what is not there is null, and so is an answer of another shape', () => {
  expect(inputsOf(tree, 'z')).toBeNull();
  expect([inputsOf(null, 'a'), inputsOf('text', 'a'), inputsOf([tree], 'a'), inputsOf({ indicators: 'none' }, 'a')]).toEqual([null, null, null, null]);
});
