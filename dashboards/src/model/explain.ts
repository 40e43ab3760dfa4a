// What the engine says a score is made of, down to the ids of cases: `GET /explain/scores/{scheme}/{unit}/{period}`.

export interface Input {
  name: string;
  /** Null when nobody knows it. */
  value: number | null;
  /** Ids of the cases that it counts, of a count of cases; the answer holds the first of them only. */
  cases: string[];
  total: number | null;
}

const isObject = (value: unknown): value is Record<string, unknown> => value !== null && typeof value === 'object' && !Array.isArray(value);

/** The inputs of one indicator in the tree of a score; null when it is not there. */
export function inputsOf(tree: unknown, indicator: string): Input[] | null {
  if (!isObject(tree)) return null;
  if (tree['indicator'] === indicator) {
    const inputs = isObject(tree['inputs']) ? tree['inputs'] : {};
    return Object.entries(inputs).map(([name, said]): Input => {
      const input = isObject(said) ? said : {};
      const ids = Array.isArray(input['cases']) ? input['cases'].filter((id): id is string => typeof id === 'string') : [];
      const number = (value: unknown) => (typeof value === 'number' ? value : null);
      return { name, value: number(input['value']), cases: ids, total: number(input['cases_total']) };
    });
  }
  const children = Array.isArray(tree['indicators']) ? tree['indicators'] : [];
  for (const child of children) {
    const found = inputsOf(child, indicator);
    if (found) return found;
  }
  return null;
}
