// A stand-in for the engine while the screens are being worked on: REST and WebSocket of the contract over an invented
// city. Serves `dist` too. PORT (8090), VEHICLES (130), SEED-free and not reproducible: for eyes, not for figures.
// Keeps ten minutes of frames for `as_of` and `since`. WITHOUT=view,view leaves views out, as an older engine would.
import { readFileSync, existsSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { WebSocketServer } from 'ws';
import { WORK, work } from './mock-work.mjs';

const here = fileURLToPath(new URL('..', import.meta.url));
const PORT = Number(process.env.PORT ?? 8090);
const VEHICLES = Number(process.env.VEHICLES ?? 130);
const TICK_MS = 500;
const HISTORY_MS = 10 * 60_000;
const geo = JSON.parse(readFileSync(join(here, 'src/assets/yanan.json'), 'utf8'));
const { random, floor, round, cos, sin, PI, hypot, atan2, min, max } = Math;
const pick = (list) => list[floor(random() * list.length)];

const column = (name) => ({ name, type: 'text', nullable: true, unit: '', zh: '', doc: '' });
const spec = (name, key, columns) => ({ name, zh: '', doc: '', key, columns: columns.split(' ').map(column), bounded_by: '' });
const SPECS = [
  spec('vehicles', 1, 'vehicle_id fleet district lon lat speed heading working ts state road'),
  spec('alerts', 1, 'alert_id rule target district severity state raised_ts cleared_ts value owner revision reason'),
  spec('case_rates', 3, 'scope id period reported open overdue closed closed_overdue reworked'),
  spec('stream_health', 2, 'stream partition lag_records lag_ms rate late duplicates rejected last_ts holds_back'),
  spec('sensors', 2, 'sensor_id metric district kind value ts state'),
  spec('reference', 2, 'kind id ts json'),
  ...WORK.map(([name, key, columns]) => spec(name, key, columns)),
];
const without = new Set((process.env.WITHOUT ?? '').split(','));
const specOf = (view) => SPECS.find((s) => s.name === view);
const keyOf = (view, row) => specOf(view).columns.slice(0, specOf(view).key).map((c) => row[c.name]);
const now = Object.fromEntries(SPECS.map((s) => [s.name, new Map()]));
/** Per tick: [{view, key, old, new}]. */
const history = [];
let tick = floor(Date.now() / TICK_MS) * TICK_MS;
let changes = [];
function put(view, row) {
  const key = JSON.stringify(keyOf(view, row));
  changes.push({ view, key, old: now[view].get(key), new: row });
  now[view].set(key, row);
}

// The city: districts, a small street grid around each seat, sensors, rules.
const reference = (kind, id, fields) => put('reference', { kind, id, ts: null, json: { kind, id, ...fields } });
const units = geo.features.map((f) => ({ ...f.properties, geometry: f.geometry }));
const streets = [];
for (const unit of units) {
  reference('district', unit.adcode, { name: unit.name, geometry: unit.geometry });
  const [cx, cy] = unit.seat;
  const capital = unit.adcode === '610602';
  const n = capital ? 9 : 4;
  const turn = random() * PI;
  for (let i = 0; i < n * 2; i++) {
    const across = i % 2 === 0;
    const off = (floor(i / 2) - (n - 1) / 2) * 0.006;
    const half = (capital ? 0.045 : 0.016) * (across ? 1 : 0.55);
    const line = Array.from({ length: 9 }, (_, k) => {
      const along = -half + (half * 2 * k) / 8;
      const bend = sin(along * 60) * 0.004;
      const [x, y] = across ? [along, off + bend] : [off * 1.4, along + bend];
      return [round((cx + (x * cos(turn) - y * sin(turn)) * 1.25) * 1e6) / 1e6, round((cy + x * sin(turn) + y * cos(turn)) * 1e6) / 1e6];
    });
    const id = `r-${unit.adcode}-${i}`;
    streets.push({ id, district: unit.adcode, line });
    reference('road', id, { name: `${pick(['迎宾', '中心', '枣园', '百米', '师范'])}路${i}`, district: unit.adcode, grade: i < 2 ? 1 : 2, geometry: { type: 'LineString', coordinates: line }, schematic: true });
  }
}
const RULES = [
  ['water-depth-red', 'severe', '积水达到 40 厘米，红色', 'Water 40 cm deep, red', 'cm', 43],
  ['gas-high', 'severe', '可燃气体高报', 'Combustible gas, high', '%LEL', 52],
  ['manhole-tilt', 'warning', '井盖倾斜', 'Manhole cover tilted', '°', 12.5],
  ['bin-overflow', 'warning', '垃圾桶满溢', 'Bin overflowing', '%', 96],
  ['noise-high', 'notice', '噪声超标', 'Noise too high', 'dB', 78.2],
  ['sensor-offline', 'notice', '传感器离线', 'Sensor offline', 's', 900],
];
for (const [id, severity, zh, en, unit] of RULES) reference('rule', id, { severity, unit, text: { zh, en } });
const sensors = Array.from({ length: 600 }, (_, i) => {
  const street = pick(streets);
  const [lon, lat] = pick(street.line);
  const id = `s-${street.district}-${String(i).padStart(4, '0')}`;
  reference('sensor', id, { sensor_kind: 'water_depth', district: street.district, name: `${pick(['南关街', '师范路', '枣园路', '迎宾大道'])}${pick(['积水计', '井盖', '气体探头'])}${i}号`, lon, lat });
  put('sensors', { sensor_id: id, metric: 'water_depth', district: street.district, kind: 'water_depth', value: random() * 5, ts: tick, state: random() < 0.03 ? 'offline' : 'normal' });
  return { id, district: street.district };
});
const weights = units.flatMap((u) => (u.adcode === '610602' ? Array(8).fill(u) : [u, u]));
const vehicles = Array.from({ length: VEHICLES }, (_, i) => {
  const unit = pick(weights);
  const own = streets.filter((s) => s.district === unit.adcode);
  return { id: `sw-${String(i + 1).padStart(4, '0')}`, fleet: i % 2 ? 'fleet-water' : 'fleet-sweep', district: unit.adcode, own, street: pick(own), at: random() * 8, way: random() < 0.5 ? 1 : -1, mode: 'working', until: 0, silent: random() < 0.06 ? (random() < 0.5 ? 'stale' : 'offline') : null };
});
const cases = new Map(units.map((u) => [u.adcode, { reported: 40, open: floor(random() * 30) + (u.adcode === '610602' ? 60 : 5), overdue: floor(random() * 6), closed: floor(random() * 200) + 20, closed_overdue: floor(random() * 14), reworked: 3 }]));
const turn = work({ put, reference, units, streets, vehicles, start: tick });
let alertNumber = 0;

function raise(age = 0) {
  const [rule, severity, , , , value] = pick(RULES);
  const sensor = pick(sensors);
  put('alerts', { alert_id: `${rule}/${sensor.id}/${++alertNumber}`, rule, target: sensor.id, district: sensor.district, severity, state: 'open', raised_ts: tick - age, cleared_ts: null, value, owner: null, revision: 1, reason: 'held' });
}

function step() {
  for (const v of vehicles) {
    if (v.silent && now.vehicles.size >= VEHICLES) continue;
    if (random() < 0.01) v.mode = pick(['working', 'working', 'working', 'driving', 'stopped']);
    const speed = v.mode === 'stopped' ? 0 : v.mode === 'driving' ? 30 : 9;
    v.at += (v.way * speed * TICK_MS) / 3.6e6 / 0.6;
    if (v.at <= 0 || v.at >= 8) {
      v.at = min(8, max(0, v.at));
      v.way *= -1;
      if (random() < 0.5) [v.street, v.at, v.way] = [pick(v.own), 0, 1];
    }
    const [i, f] = [min(7, floor(v.at)), v.at - min(7, floor(v.at))];
    const [a, b] = [v.street.line[i], v.street.line[i + 1]];
    const [dx, dy] = [(b[0] - a[0]) * v.way * 0.8, (b[1] - a[1]) * v.way];
    const age = v.silent === 'offline' ? 900_000 : v.silent === 'stale' ? 120_000 : floor(random() * 4) * 1000;
    put('vehicles', { vehicle_id: v.id, fleet: v.fleet, district: v.district, lon: a[0] + (b[0] - a[0]) * f, lat: a[1] + (b[1] - a[1]) * f, speed, heading: (atan2(dx, dy) * 180) / PI, working: v.mode === 'working', ts: tick - age, state: v.silent === 'offline' ? 'offline' : v.mode, road: null });
  }
  turn(tick);
  if (random() < 0.04) raise();
  for (const alert of now.alerts.values()) {
    if (alert.state === 'open' && random() < 0.001) put('alerts', { ...alert, state: 'acknowledged', owner: '王芳', revision: 2 });
    else if (alert.state !== 'cleared' && random() < 0.002) put('alerts', { ...alert, state: 'cleared', cleared_ts: tick, revision: 3 });
  }
  const total = { reported: 0, open: 0, overdue: 0, closed: 0, closed_overdue: 0, reworked: 0 };
  for (const [id, c] of cases) {
    if (random() < 0.02) (c.open++, c.reported++);
    if (random() < 0.02 && c.open > c.overdue) (c.open--, c.closed++);
    if (random() < 0.004 && c.open > c.overdue) c.overdue++;
    if (random() < 0.006 && c.overdue > 0) (c.overdue--, c.open--, c.closed++, c.closed_overdue++);
    for (const k of Object.keys(total)) total[k] += c[k];
    put('case_rates', { scope: 'district', id, period: 'all', ...c });
  }
  put('case_rates', { scope: 'city', id: 'city', period: 'all', ...total });
  for (const [stream, rate] of [['telemetry', 420], ['positions', 260], ['cases', 3], ['reference', 0], ['actions', 0]]) {
    put('stream_health', { stream, partition: 0, lag_records: 0, lag_ms: floor(random() * 300), rate: rate * (0.95 + random() * 0.1), late: alertNumber, duplicates: 12, rejected: stream === 'telemetry' ? 7 : 0, last_ts: tick, holds_back: false });
  }
}

/** The rows of a view at a tick, by undoing what came after. */
function asOf(view, at) {
  const rows = new Map(now[view]);
  for (let i = history.length - 1; i >= 0 && history[i].tick > at; i--) {
    for (let k = history[i].changes.length - 1; k >= 0; k--) {
      const c = history[i].changes[k];
      if (c.view !== view) continue;
      if (c.old) rows.set(c.key, c.old);
      else rows.delete(c.key);
    }
  }
  return [...rows.values()];
}
const passes = (row, where) => Object.entries(where).every(([c, v]) => String(row[c]) === String(v));
const project = (row, columns) => (columns ? Object.fromEntries(columns.map((c) => [c, row[c]])) : row);

const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.mjs': 'text/javascript', '.css': 'text/css', '.json': 'application/json' };
const server = createServer((request, response) => {
  const url = new URL(request.url, 'http://x');
  const json = (code, body) => response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  if (url.pathname === '/api/v1/views') return json(200, SPECS.filter(({ name }) => !without.has(name)));
  const view = url.pathname.match(/^\/api\/v1\/views\/(\w+)$/)?.[1];
  if (view) {
    if (!specOf(view)) return json(404, { title: 'no such view' });
    const at = Number(url.searchParams.get('as_of') ?? tick);
    if (history.length === 0 || at < history[0].tick) return json(410, { title: 'gone', oldest: history[0]?.tick });
    const where = Object.fromEntries(url.searchParams.getAll('where').map((w) => [w.slice(0, w.indexOf(':')), w.slice(w.indexOf(':') + 1)]));
    const limit = Number(url.searchParams.get('limit') ?? 1000);
    return json(200, { view, tick: at, rows: asOf(view, at).filter((r) => passes(r, where)).slice(0, limit), next: null });
  }
  const path = join(here, 'dist', normalize(extname(url.pathname) === '' ? '/index.html' : url.pathname));
  if (!existsSync(path)) return response.writeHead(404).end();
  response.writeHead(200, { 'content-type': TYPES[extname(path)] ?? 'application/octet-stream' }).end(readFileSync(path));
});
const sockets = new WebSocketServer({ server, path: '/api/v1/live', handleProtocols: () => 'chengmai.v1.json' });
const clients = new Set();
function updates(client, from, to) {
  for (const [id, s] of client.subscriptions) sendUpdate(client, id, s, from, to);
}
function sendUpdate(client, id, s, from, to) {
  const last = new Map();
  for (const h of history) if (h.tick > from && h.tick <= to) for (const c of h.changes) if (c.view === s.view) last.set(c.key, { old: last.get(c.key)?.old ?? c.old, new: c.new });
  const upserts = [], deletes = [];
  for (const [key, c] of last) {
    if (passes(c.new, s.where)) upserts.push(project(c.new, s.columns));
    else if (c.old && passes(c.old, s.where)) deletes.push(JSON.parse(key));
  }
  if (upserts.length + deletes.length) client.send({ type: 'update', id, lower: from + 1, upper: to + 1, upserts, deletes });
}
sockets.on('connection', (socket) => {
  const client = { subscriptions: new Map(), send: (m) => socket.send(JSON.stringify(m)) };
  clients.add(client);
  socket.on('close', () => clients.delete(client));
  socket.on('message', (data) => {
    const m = JSON.parse(data);
    if (m.type === 'ping') return client.send({ type: 'pong' });
    if (m.type === 'unsubscribe') return void client.subscriptions.delete(m.id);
    if (!specOf(m.view)) return client.send({ type: 'error', id: m.id, code: 'bad_subscription', message: `there is no view ${m.view}` });
    const s = { view: m.view, where: m.where ?? {}, columns: m.columns };
    client.subscriptions.set(m.id, s);
    if (m.since !== undefined && history.length && m.since >= history[0].tick && m.since <= tick) sendUpdate(client, m.id, s, m.since, tick);
    else client.send({ type: 'snapshot', id: m.id, tick, rows: [...now[m.view].values()].filter((r) => passes(r, s.where)).map((r) => project(r, s.columns)) });
    client.send({ type: 'frame', tick });
  });
});
for (let i = 0; i < 14; i++) raise(floor(random() * 2_400_000));
step();
history.push({ tick, changes });
changes = [];
setInterval(() => {
  const next = floor(Date.now() / TICK_MS) * TICK_MS;
  if (next <= tick) return;
  const before = tick;
  tick = next;
  step();
  history.push({ tick, changes });
  changes = [];
  while (history[0].tick < tick - HISTORY_MS) history.shift();
  for (const client of clients) {
    updates(client, before, tick);
    client.send({ type: 'frame', tick });
  }
}, 250);
server.listen(PORT, '127.0.0.1', () => process.stdout.write(`mock engine on http://127.0.0.1:${PORT}\n`));
