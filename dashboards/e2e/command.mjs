// The command screen in a real browser against a running engine (or `dev/mock.mjs`). Settings: see `browser.mjs`.
//
//   MIN_MOVING least number of moving vehicles to wait for, default 5
import assert from 'node:assert/strict';
import { BASE_URL, OUT, WAIT_MS, height, launch, number, open, rows, say, width } from './browser.mjs';

const MIN_MOVING = Number(process.env.MIN_MOVING ?? 5);
const STALE_AFTER_MS = 60_000;
const browser = await launch();

/** Figures of the page by test id, with the tick that they are of. */
const read = (page) =>
  page.evaluate(() => {
    const figures = {};
    for (const element of document.querySelectorAll('[data-testid]')) {
      if (element.children.length === 0) figures[element.dataset.testid] = element.textContent.trim();
    }
    return { tick: Number(document.querySelector('[data-testid=command]').dataset.tick), figures };
  });

async function compare(page) {
  const { tick, figures } = await read(page);
  const vehicles = await rows('vehicles', tick);
  const open = await rows('alerts', tick, { state: 'open' });
  const acknowledged = await rows('alerts', tick, { state: 'acknowledged' });
  const rates = (await rows('case_rates', tick)).filter((row) => row.period === 'all');
  const city = rates.find((row) => row.scope === 'city');
  const silent = new Set((await rows('sensors', tick, { state: 'offline' })).map((row) => row.sensor_id));
  const inState = (state) => vehicles.filter((v) => v.state === state).length;
  const stale = vehicles.filter((v) => v.state !== 'offline' && tick - v.ts > STALE_AFTER_MS).length;
  const severity = (name) => [...open, ...acknowledged].filter((a) => a.severity === name).length;
  const expected = {
    'vehicles-working': inState('working'),
    'vehicles-total': vehicles.length,
    'vehicles-offline': inState('offline'),
    'vehicles-stale': stale,
    'vehicles-fresh': vehicles.length - stale - inState('offline'),
    'state-driving': inState('driving'),
    'state-stopped': inState('stopped'),
    'cases-open': city?.open ?? 0,
    'cases-overdue': city?.overdue ?? 0,
    'alerts-open': open.length,
    'alerts-severe': severity('severe'),
    'alerts-warning': severity('warning'),
    'alerts-notice': severity('notice'),
    'sensors-offline': silent.size,
  };
  for (const row of rates.filter((row) => row.scope === 'district')) {
    // A case without a known district is in the city's figure and on no district of the map.
    if (`district-${row.id}` in figures) expected[`district-${row.id}`] = row.open;
  }
  for (const [name, value] of Object.entries(expected)) {
    assert.equal(number(figures[name] ?? '—'), value, `${name} at tick ${tick}`);
  }
  const rate = city && city.closed > 0 ? (((city.closed - city.closed_overdue) / city.closed) * 100).toFixed(1) : '—';
  assert.equal(figures['cases-on-time'], rate, `cases-on-time at tick ${tick}`);
  return { tick, compared: Object.keys(expected).length + 1, vehicles };
}

const health = (page, wanted, timeout = 30_000) =>
  page.waitForFunction((w) => document.querySelector('[data-testid=command]')?.dataset.health === w, wanted, { timeout });

try {
  const { page, complaints, foreign } = await open(browser);

  await page.goto(BASE_URL);
  await health(page, 'live', WAIT_MS);
  await page.waitForFunction(
    (least) => {
      const figure = (id) => Number(document.querySelector(`[data-testid=${id}]`)?.textContent.replaceAll(',', '') ?? 0);
      return figure('vehicles-working') + figure('state-driving') >= least;
    },
    MIN_MOVING, { timeout: WAIT_MS },
  );
  say(`live, at least ${MIN_MOVING} vehicles moving`);

  const first = await compare(page);
  say(`${first.compared} figures agree with the API at tick ${first.tick}`);

  const moving = new Map(first.vehicles.map((v) => [v.vehicle_id, `${v.lon},${v.lat}`]));
  const picture = () => page.evaluate(() => document.querySelector('[data-testid=map-live]')?.toDataURL() ?? '');
  const before = await picture();
  await page.waitForFunction((t) => Number(document.querySelector('[data-testid=command]').dataset.tick) >= t + 15_000, first.tick, { timeout: 60_000 });
  const second = await compare(page);
  const moved = second.vehicles.filter((v) => moving.has(v.vehicle_id) && moving.get(v.vehicle_id) !== `${v.lon},${v.lat}`).length;
  assert.ok(moved >= MIN_MOVING, `${moved} vehicles moved`);
  assert.notEqual(await picture(), before, 'the drawn vehicles move');
  say(`${moved} vehicles moved, and the map with them; ${second.compared} figures agree at tick ${second.tick}`);
  await page.screenshot({ path: `${OUT}/command-${width}x${height}.png` });

  await page.getByTestId('metric-working').click();
  const working = await read(page);
  const cityWorking = Object.entries(working.figures).filter(([id]) => id.startsWith('district-')).reduce((sum, [, text]) => sum + (number(text) ?? 0), 0);
  const homeless = (await rows('vehicles', working.tick)).filter((v) => v.state === 'working' && !(`district-${v.district}` in working.figures)).length;
  assert.equal(cityWorking + homeless, number(working.figures['vehicles-working']), 'the districts add up to the city');
  await page.getByTestId('metric-open').click();
  say('the districts add up to the city');

  await page.getByTestId('language').click();
  assert.match(await page.textContent('h1'), /Command/);
  await page.screenshot({ path: `${OUT}/command-en-${width}x${height}.png` });
  await page.getByTestId('language').click();
  assert.match(await page.textContent('h1'), /指挥/);
  say('the language switches');

  const district = await page.evaluate(() => document.querySelector('[data-testid^=rank-]').dataset.testid.slice(5));
  await page.getByTestId(`rank-${district}`).click();
  await page.waitForFunction((d) => document.querySelector('[data-testid=command]').dataset.scope === d, district);
  await page.waitForTimeout(1500);
  const drilled = await read(page);
  const own = (await rows('vehicles', drilled.tick)).filter((v) => v.district === district);
  assert.equal(number(drilled.figures['vehicles-working']), own.filter((v) => v.state === 'working').length, `working in ${district}`);
  await page.screenshot({ path: `${OUT}/command-district-${width}x${height}.png` });
  await page.keyboard.press('Escape');
  await page.waitForFunction(() => document.querySelector('[data-testid=command]').dataset.scope === '');
  say(`drilled into ${district} and back`);

  await page.evaluate(() => {
    const context = document.querySelector('[data-testid=map] canvas').getContext('webgl2');
    context.getExtension('WEBGL_lose_context').loseContext();
  });
  await page.getByTestId('map-lost').waitFor();
  const lostAt = (await read(page)).tick;
  await page.getByTestId('map-lost').waitFor({ state: 'detached', timeout: 30_000 });
  await page.waitForFunction((t) => Number(document.querySelector('[data-testid=command]').dataset.tick) > t, lostAt);
  say('a lost WebGL context comes back, the figures go on');

  const heard = complaints.length;
  await page.context().setOffline(true);
  await health(page, 'disconnected');
  await page.getByTestId('frozen').waitFor();
  await page.waitForTimeout(600);
  const filter = await page.evaluate(() => getComputedStyle(document.querySelector('.data')).filter);
  assert.ok(Number(/brightness\(([\d.]+)\)/.exec(filter)?.[1] ?? 1) < 0.9, `the data are dimmed: ${filter}`);
  await page.screenshot({ path: `${OUT}/command-disconnected-${width}x${height}.png` });
  // What came before the cut may still be on its way to the glass.
  let frozen = (await read(page)).tick;
  for (let drawn = null; drawn !== frozen; ) {
    drawn = frozen;
    await page.waitForTimeout(1000);
    frozen = (await read(page)).tick;
  }
  await page.waitForTimeout(2500);
  assert.equal((await read(page)).tick, frozen, 'nothing moves while disconnected');
  await page.context().setOffline(false);
  await health(page, 'live');
  await page.waitForFunction((t) => Number(document.querySelector('[data-testid=command]').dataset.tick) > t, frozen);
  const again = await compare(page);
  say(`disconnected dims; resumed, and ${again.compared} figures agree at tick ${again.tick}`);

  // What the browser itself says about a network that was cut on purpose is no complaint.
  const own_errors = complaints.filter((text, i) => i < heard || !/ERR_INTERNET_DISCONNECTED|WebSocket connection/.test(text));
  assert.deepEqual(own_errors, [], 'no errors in the console');
  assert.deepEqual(foreign, [], 'nothing is asked of any other host');
  say('no console errors, no foreign requests');

  // A browser without WebGL: the list takes the place of the map, the figures are there all the same.
  const plain = await browser.newPage({ viewport: { width, height } });
  await plain.addInitScript(() => {
    const original = HTMLCanvasElement.prototype.getContext;
    HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
      return String(kind).includes('webgl') ? null : original.call(this, kind, ...rest);
    };
  });
  await plain.goto(BASE_URL);
  await health(plain, 'live', WAIT_MS);
  await plain.getByTestId('map-fallback').waitFor({ timeout: 10_000 });
  say('without WebGL a list takes the place of the map');
  say('OK');
} finally {
  await browser.close();
}
