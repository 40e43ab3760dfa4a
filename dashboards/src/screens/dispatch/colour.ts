// Colours of the dispatch map: roads by state, vehicles by shape and colour.

import type { RoadState } from '../../live/types';
import type { Palette } from '../command/draw';

export const ROAD: Record<RoadState | 'none', string> = {
  done: '#2b7a9b', too_few: '#c98a00', missed: '#d1402b', not_due: '#b9c4d2', none: '#d0d7df',
};
export const TRACK = '#5b2a86';

export const VEHICLE: Palette = {
  working: '#0e5a7a', driving: '#2b7a9b', stopped: '#e09a10', stale: '#5a6778', offline: '#7c8899', ink: '#ffffff',
};
