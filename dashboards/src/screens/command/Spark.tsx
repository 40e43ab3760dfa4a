// A line of what has been seen since the page was opened; nothing before, no line through holes.

import { createMemo } from 'solid-js';
import type { Trend } from '../../model/trend';

const W = 200;
const H = 40;

export function Spark(props: { trend: Trend; tick: number | undefined; tone: 'ok' | 'warn' | 'bad' }) {
  const path = createMemo(() => {
    // The trend is mutable: the tick says when it has moved.
    void props.tick;
    const { times, values } = props.trend;
    const known = values.filter((value): value is number => value !== null);
    const [first, last] = [times[0], times.at(-1)];
    if (known.length < 2 || first === undefined || last === undefined || last === first) return null;
    const [low, high] = [Math.min(...known), Math.max(...known)];
    // A flat line lies in the middle; a small change is not blown up to the full height.
    const range = Math.max(high - low, Math.abs(high) * 0.05, 1e-9);
    const middle = (low + high) / 2;
    let line = '';
    let pen = false;
    let start = 0;
    let end = 0;
    values.forEach((value, i) => {
      if (value === null) {
        pen = false;
        return;
      }
      const x = (((times[i] as number) - first) / (last - first)) * W;
      const y = H / 2 - ((value - middle) / range) * (H * 0.78);
      if (line === '') start = x;
      line += `${pen ? 'L' : 'M'}${x.toFixed(1)} ${y.toFixed(1)}`;
      pen = true;
      end = x;
    });
    return { line, area: `${line}L${end.toFixed(1)} ${H}L${start.toFixed(1)} ${H}Z` };
  });
  return (
    <svg class={`spark ${props.tone}`} viewBox={`0 0 ${W} ${H}`} preserveAspectRatio="none" aria-hidden="true">
      <path class="area" d={path()?.area ?? ''} />
      <path class="line" d={path()?.line ?? ''} vector-effect="non-scaling-stroke" />
    </svg>
  );
}
