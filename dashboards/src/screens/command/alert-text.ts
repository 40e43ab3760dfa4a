// What an alert says, in the words of its rule; where the rule has none, the engine's own reason.

import type { AlertRow } from '../../live/types';
import { minute } from '../../model/time';
import type { Screen } from './state';

export interface AlertText {
  place: string;
  what: string;
  time: string;
}

export function alertText(screen: Screen, alert: AlertRow): AlertText {
  const frame = screen.frame();
  const sensor = frame?.sensors.get(alert.target);
  const rule = frame?.rules.get(alert.rule);
  const text = rule?.text[screen.lang()] ?? rule?.text['zh'];
  const value = alert.value === null || !rule?.unit ? '' : `${Math.round(alert.value * 100) / 100} ${rule.unit}`;
  return {
    place: sensor?.name ?? alert.target,
    what: text ? [text, value].filter(Boolean).join(' · ') : alert.reason || alert.rule,
    time: minute(alert.raised_ts),
  };
}
