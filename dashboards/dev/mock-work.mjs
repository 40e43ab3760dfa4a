// Invented rows of the views of work, scores and parks, for the mock: enough to see every panel move.
const { random, floor, round, min, max } = Math;
const pick = (list) => list[floor(random() * list.length)];
const HOUR = 3_600_000;
const isoDate = (ms) => new Intl.DateTimeFormat('en-CA', { timeZone: 'Asia/Shanghai' }).format(ms);

export const WORK = [
  ['road_coverage', 3, 'road shift date district grade length swept_length share forward_length backward_length worked_length passes planned_passes last_swept_ts vehicles state due_ts'],
  ['district_coverage', 3, 'district shift date length swept_length share unplanned_length planned_roads done_roads too_few_roads missed_roads repeat_share vehicles record_completeness last_swept_ts expected_finish_ts'],
  ['trips', 2, 'vehicle_id start_ts end_ts distance working_distance idle top_speed overspeed_count overspeed fixes start_lon start_lat lon lat start_place place provisional'],
  ['stops', 2, 'vehicle_id start_ts end_ts duration lon lat place fixes provisional'],
  ['fence_events', 4, 'vehicle_id fence kind start_ts end_ts dwell overstay provisional'],
  ['tracks', 2, 'vehicle_id ts lon lat speed heading working'],
  ['scores', 3, 'scheme district period score grade rank completeness provisional'],
  ['indicators', 4, 'scheme district indicator period value score weight numerator denominator provisional'],
  ['park_radius', 2, 'district scheme residential_area covered_area share population covered_population walking_share threshold'],
  ['parks', 1, 'park district class status area radius'],
  ['residence_access', 2, 'residence_id scheme district population covered uncovered_population straight_m walking_m'],
];

/** Puts the first rows; returns what each tick changes. */
export function work({ put, reference, units, streets, vehicles, start }) {
  const hour = floor((start + 8 * HOUR) / HOUR) % 24;
  const hh = (h) => `${String((h + 24) % 24).padStart(2, '0')}:00`;
  const shifts = [['shift-early', '早班', -6, -2], ['shift-now', '当班', -1, 2], ['shift-late', '晚班', 3, 6]];
  for (const [id, name, from, to] of shifts) reference('shift', id, { name, start: hh(hour + from), end: hh(hour + to), fleets: [] });
  reference('fleet', 'fleet-sweep', { name: '机扫队', district: '610602' });
  reference('fleet', 'fleet-water', { name: '洒水队', district: '610602' });
  for (const v of vehicles) reference('vehicle', v.id, { plate: `陕J·${v.id.slice(-4)}`, fleet: v.fleet, district: v.district, vehicle_kind: v.fleet === 'fleet-water' ? 'sprinkler' : 'road_sweeper' });
  for (const unit of units) {
    const [x, y] = unit.seat;
    const ring = (r) => [[x - r, y - r], [x + r, y - r], [x + r, y + r], [x - r, y + r], [x - r, y - r]];
    reference('fence', `depot-${unit.adcode}`, { name: `${unit.name}环卫停车场`, geometry: { type: 'Polygon', coordinates: [ring(0.001)] } });
  }
  const roads = [];
  for (const street of streets) {
    for (const [shift, , from, to] of shifts) {
      const begin = floor(start / HOUR) * HOUR + from * HOUR;
      const row = {
        road: street.id, shift, date: isoDate(begin), district: street.district, grade: '1', length: 600 + random() * 2400, swept_length: 0, share: 0,
        forward_length: 0, backward_length: 0, worked_length: 0, passes: 0, planned_passes: random() < 0.9 ? 1 + floor(random() * 2) : 0,
        last_swept_ts: null, vehicles: 0, state: 'not_due', due_ts: floor(start / HOUR) * HOUR + to * HOUR,
      };
      if (to <= 0) sweep(row, random() < 0.1 ? 0 : 0.6 + random() * 0.5, start + to * HOUR, true);
      else if (from < 0) sweep(row, max(0, random() * 1.4 - 0.3), start, random() < 0.3);
      roads.push(row);
      put('road_coverage', { ...row });
    }
  }
  function sweep(row, share, ts, late) {
    row.share = min(1, share);
    row.swept_length = row.length * row.share;
    row.passes = row.share > 0.9 ? 1 + floor(random() * 2) : 0;
    row.vehicles = share > 0 ? 1 : 0;
    row.last_swept_ts = share > 0 ? ts - floor(random() * HOUR) : null;
    const due = late || ts > row.due_ts;
    row.state = row.passes >= row.planned_passes && row.planned_passes > 0 ? 'done' : !due ? 'not_due' : row.share > 0.5 ? 'too_few' : 'missed';
  }
  function sums() {
    const groups = new Map();
    for (const row of roads) {
      for (const district of [row.district, 'city']) {
        const key = `${district}/${row.shift}/${row.date}`;
        const sum = groups.get(key) ?? { district, shift: row.shift, date: row.date, length: 0, swept_length: 0, share: null, unplanned_length: 0, planned_roads: 0, done_roads: 0, too_few_roads: 0, missed_roads: 0, repeat_share: 0.08, vehicles: 9, record_completeness: 0.97, last_swept_ts: null, expected_finish_ts: null };
        groups.set(key, sum);
        if (row.planned_passes === 0) continue;
        sum.length += row.length;
        sum.swept_length += row.swept_length;
        sum.planned_roads++;
        for (const state of ['done', 'too_few', 'missed']) if (row.state === state) sum[`${state}_roads`]++;
        sum.expected_finish_ts = sum.swept_length > 0 ? row.due_ts - 11 * 60_000 : null;
      }
    }
    for (const sum of groups.values()) put('district_coverage', { ...sum, share: sum.length > 0 ? sum.swept_length / sum.length : null });
  }
  sums();
  for (const v of vehicles) {
    let ts = start - 3 * HOUR;
    const at = (i) => v.street.line[i % v.street.line.length];
    for (let i = 0; i < 4; i++) {
      const [end, rest] = [ts + (20 + random() * 25) * 60_000, (4 + random() * 12) * 60_000];
      const last = i === 3;
      put('trips', { vehicle_id: v.id, start_ts: round(ts), end_ts: round(last ? start : end), distance: 2000 + random() * 9000, working_distance: 1500 + random() * 500, idle: 60, top_speed: 31, overspeed_count: 0, overspeed: 0, fixes: 200, start_lon: at(i)[0], start_lat: at(i)[1], lon: at(i + 1)[0], lat: at(i + 1)[1], start_place: null, place: i === 1 ? `depot-${v.district}` : null, provisional: last });
      if (!last) put('stops', { vehicle_id: v.id, start_ts: round(end), end_ts: round(end + rest), duration: rest / 1000, lon: at(i + 1)[0], lat: at(i + 1)[1], place: i === 1 ? `depot-${v.district}` : null, fixes: 30, provisional: false });
      ts = end + rest;
    }
    for (let i = 0; i < 300; i++) {
      if (i > 180 && i < 210) continue;
      const [x, y] = at(floor(i / 34));
      const [x2, y2] = at(floor(i / 34) + 1);
      const f = (i % 34) / 34;
      put('tracks', { vehicle_id: v.id, ts: start - (300 - i) * 20_000, lon: x + (x2 - x) * f, lat: y + (y2 - y) * f, speed: i % 90 < 20 ? 0 : 8 + random() * 12, heading: 0, working: true });
    }
    if (random() < 0.4) put('fence_events', { vehicle_id: v.id, fence: `depot-${v.district}`, kind: pick(['visit', 'visit', 'deviation', 'missed']), start_ts: start - floor(random() * HOUR), end_ts: null, dwell: random() * 3000, overstay: random() < 0.2, provisional: true });
  }
  scores({ put, reference, units, start });
  parks({ put, reference, units });
  return (tick) => {
    for (const row of roads) {
      if (row.shift !== 'shift-now' || random() > 0.01) continue;
      sweep(row, row.share + 0.2, tick, row.state !== 'not_due');
      row.last_swept_ts = tick;
      put('road_coverage', { ...row });
    }
    sums();
  };
}

function scores({ put, reference, units, start }) {
  const parts = [['sweep-coverage', '机扫覆盖', 30], ['missed-fixed', '漏扫整改', 20], ['cases-in-time', '案件按时办结', 20], ['park-service', '公园服务', 15], ['satisfaction', '群众满意', 15]];
  reference('score_scheme', 'local', { name: '评分办法 2026 版' });
  for (const [id, name] of parts) reference('indicator', id, { name, unit: '%' });
  const month = (back) => {
    const date = new Date(start);
    date.setUTCMonth(date.getUTCMonth() - back, 1);
    return date.toISOString().slice(0, 7);
  };
  for (let back = 6; back >= 0; back--) {
    const period = month(back);
    const rows = units.map((unit) => {
      let score = 0;
      for (const [indicator, , weight] of parts) {
        const [numerator, denominator] = [floor(60 + random() * 40), 100];
        score += (numerator / denominator) * weight;
        put('indicators', { scheme: 'local', district: unit.adcode, indicator, period, value: numerator / denominator, score: numerator, weight, numerator, denominator, provisional: back === 0 });
      }
      return { unit, score };
    });
    rows.sort((a, b) => b.score - a.score).forEach(({ unit, score }, i) => put('scores', { scheme: 'local', district: unit.adcode, period, score, grade: score >= 90 ? 'A' : score >= 80 ? 'B' : 'C', rank: i + 1, completeness: 0.85 + random() * 0.15, provisional: back === 0 }));
  }
}

function parks({ put, reference, units }) {
  reference('radius_scheme', 'garden-city', { text: { zh: '园林城市', en: 'Garden city' } });
  const city = { district: 'city', scheme: 'garden-city', threshold: 0.7, residential_area: 0, covered_area: 0, share: null, population: 0, covered_population: 0, walking_share: 0.61 };
  for (const unit of units) {
    const [x, y] = unit.seat;
    const square = (cx, cy, r) => ({ type: 'Polygon', coordinates: [[[cx - r, cy - r], [cx + r, cy - r], [cx + r, cy + r], [cx - r, cy + r], [cx - r, cy - r]]] });
    for (let i = 0; i < 4; i++) {
      const at = [x + (random() - 0.5) * 0.05, y + (random() - 0.5) * 0.04];
      reference('park', `park-${unit.adcode}-${i}`, { name: `${unit.name}公园${i + 1}`, district: unit.adcode, class: 'G11', status: 'open', area_m2: 40_000, geometry: square(...at, 0.0015), entrances: [at] });
      put('parks', { park: `park-${unit.adcode}-${i}`, district: unit.adcode, class: 'G11', status: 'open', area: 40_000, radius: 500 });
    }
    const sum = { district: unit.adcode, scheme: 'garden-city', threshold: 0.7, residential_area: 0, covered_area: 0, share: null, population: 0, covered_population: 0, walking_share: 0.5 + random() * 0.4 };
    for (let i = 0; i < 30; i++) {
      const id = `home-${unit.adcode}-${i}`;
      const population = 200 + floor(random() * 4000);
      reference('residence', id, { name: `${unit.name}小区${i + 1}`, district: unit.adcode, population, area_m2: 30_000, geometry: square(x + (random() - 0.5) * 0.06, y + (random() - 0.5) * 0.05, 0.0008) });
      const covered = random() < 0.7;
      put('residence_access', { residence_id: id, scheme: 'garden-city', district: unit.adcode, population, covered, uncovered_population: covered ? 0 : population, straight_m: covered ? 100 + random() * 390 : 510 + random() * 900, walking_m: 200 + random() * 1500 });
      sum.residential_area += 30_000;
      sum.population += population;
      if (covered) (sum.covered_area += 30_000, sum.covered_population += population);
    }
    put('park_radius', { ...sum, share: sum.covered_area / sum.residential_area });
    for (const name of ['residential_area', 'covered_area', 'population', 'covered_population']) city[name] += sum[name];
  }
  put('park_radius', { ...city, share: city.covered_area / city.residential_area });
}
