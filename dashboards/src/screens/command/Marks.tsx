// The shapes of the map as small signs, for lists and the legend.

import type { Severity } from '../../live/types';
import type { Shape } from '../../model/select';
import { COLOURS, type Palette } from './draw';

export function SeverityMark(props: { severity: Severity }) {
  return (
    <svg class="mark" viewBox="-10 -10 20 20" aria-hidden="true">
      {props.severity === 'severe' ? (
        <>
          <path d="M0 -8.5L9 7H-9Z" fill={COLOURS.severe} />
          <path d="M0 -3V2M0 4V5.4" stroke={COLOURS.ink} stroke-width="2" />
        </>
      ) : props.severity === 'warning' ? (
        <path d="M0 -8L8 0L0 8L-8 0Z" fill={COLOURS.warning} />
      ) : (
        <circle r="6" fill="none" stroke={COLOURS.notice} stroke-width="2.2" />
      )}
    </svg>
  );
}

export function ShapeMark(props: { shape: Shape; palette?: Palette }) {
  const colours = () => props.palette ?? COLOURS;
  return (
    <svg class="mark" viewBox="-10 -10 20 20" aria-hidden="true">
      {props.shape === 'working' || props.shape === 'driving' ? (
        <path
          d="M0 -9L6 7L0 3.5L-6 7Z"
          fill={props.shape === 'working' ? colours().working : 'none'}
          stroke={props.shape === 'working' ? 'none' : colours().driving}
          stroke-width="2"
        />
      ) : props.shape === 'stopped' ? (
        <rect x="-6" y="-6" width="12" height="12" fill={colours().stopped} />
      ) : props.shape === 'stale' ? (
        <circle r="6.5" fill="none" stroke={colours().stale} stroke-width="2.4" stroke-dasharray="4 3" />
      ) : (
        <path d="M-6 -6L6 6M6 -6L-6 6" stroke={colours().offline} stroke-width="2.6" />
      )}
    </svg>
  );
}
