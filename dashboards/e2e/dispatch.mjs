// The dispatch screen in a real browser against a running engine (or `dev/mock.mjs`). Settings: see `browser.mjs`.
import assert from 'node:assert/strict';
import { checkNotes, common, compare, launch, missing, number, open, percent, read, reference, rows, say, show } from './browser.mjs';

const STALE_AFTER_MS = 60_000;
const VIEWS = ['vehicles', 'road_coverage', 'district_coverage', 'trips', 'stops', 'fence_events', 'tracks', 'reference'];
const browser = await launch();
const absent = await missing(VIEWS);
const has = (view) => !absent.includes(view);

/** Metres from a point to a line, by the great circle of the sphere, the line cut into many points. */
function metres([lon, lat], line) {
  const rad = Math.PI / 180;
  let least = Infinity;
  for (let i = 0; i + 1 < line.length; i++) {
    for (let k = 0; k <= 400; k++) {
      const [x, y] = [0, 1].map((c) => line[i][c] + ((line[i + 1][c] - line[i][c]) * k) / 400);
      const h = Math.sin(((y - lat) * rad) / 2) ** 2 + Math.cos(y * rad) * Math.cos(lat * rad) * Math.sin(((x - lon) * rad) / 2) ** 2;
      least = Math.min(least, 2 * 6_371_008.8 * Math.asin(Math.sqrt(h)));
    }
  }
  return least;
}

async function figures(page) {
  const { tick, figures, district, shift } = await read(page);
  const vehicles = (await rows('vehicles', tick)).filter((v) => district === '' || v.district === district);
  const shape = (v) => (v.state === 'offline' ? 'offline' : tick - v.ts > STALE_AFTER_MS ? 'stale' : v.state);
  const expected = { 'dispatch-vehicles': vehicles.length };
  for (const name of ['working', 'driving', 'stopped', 'stale', 'offline']) expected[`dispatch-${name}`] = vehicles.filter((v) => shape(v) === name).length;
  if (has('road_coverage') && shift !== '') {
    const [date, id] = shift.split('/');
    const planned = (await rows('road_coverage', tick, { date, shift: id })).filter((r) => r.planned_passes > 0 && (district === '' || r.district === district));
    for (const state of ['done', 'too_few', 'missed']) expected[`roads-${state}`] = planned.filter((r) => r.state === state).length;
    if (has('district_coverage')) {
      const row = (await rows('district_coverage', tick, { date, shift: id })).find((r) => r.district === (district === '' ? 'city' : district));
      expected['coverage-share'] = percent(row?.share);
      expected.completeness = percent(row?.record_completeness);
      if (row) assert.equal(row.done_roads, expected['roads-done'], `the roads add up to the district, tick ${tick}`);
    }
  }
  if (has('fence_events')) {
    const parts = [{ provisional: 'true' }, { kind: 'deviation' }, { kind: 'missed' }];
    const events = (await Promise.all(parts.map((where) => rows('fence_events', tick, where)))).flat();
    const own = new Set(vehicles.map((v) => v.vehicle_id));
    expected['fence-events'] = new Set(events.filter((e) => own.has(e.vehicle_id)).map((e) => `${e.vehicle_id} ${e.fence} ${e.kind} ${e.start_ts}`)).size;
  }
  return { n: compare(expected, figures, tick), tick, district };
}

try {
  const { page, complaints, foreign } = await open(browser);
  await show(page, 'dispatch', ['tick', 'district', ...(has('road_coverage') ? ['shift'] : [])]);
  await checkNotes(page, absent, ['road_coverage', 'district_coverage', 'trips', 'fence_events']);
  const first = await figures(page);
  say(`${first.n} figures of ${first.district} agree with the API at tick ${first.tick}`);
  const before = await page.evaluate(() => document.querySelector('[data-testid=map-live]').toDataURL());

  await page.getByTestId('district').selectOption('');
  await page.waitForFunction(() => document.querySelector('[data-testid=screen]').dataset.district === '');
  const city = await figures(page);
  say(`${city.n} figures of the city agree with the API at tick ${city.tick}`);
  await page.getByTestId('district').selectOption(first.district);

  if (has('road_coverage')) {
    for (const tab of ['missed', 'not_due', 'too_few', 'done']) {
      await page.getByTestId(`tab-${tab}`).click();
      if ((await page.locator('button[data-road]').count()) > 0) break;
    }
    await page.locator('button[data-road]').first().click();
    await page.locator('[data-near]').first().waitFor();
    const shown = await page.evaluate(() => ({
      tick: Number(document.querySelector('[data-testid=screen]').dataset.tick),
      road: document.querySelector('[data-testid=road-detail]').dataset.road,
      near: [...document.querySelectorAll('[data-near]')].map((button) => button.dataset.near),
    }));
    const line = (await reference('road', shown.tick)).get(shown.road).geometry.coordinates;
    const heard = (await rows('vehicles', shown.tick)).filter((v) => v.state !== 'offline' && shown.tick - v.ts <= STALE_AFTER_MS);
    const byDistance = heard.map((v) => ({ id: v.vehicle_id, m: metres([v.lon, v.lat], line) })).sort((a, b) => a.m - b.m);
    const reach = byDistance[shown.near.length - 1].m;
    // Vehicles at about the same distance may change places between the two ways to measure.
    for (const id of shown.near) assert.ok(byDistance.find((v) => v.id === id).m <= reach * 1.01 + 5, `${id} is among the nearest of ${shown.road}`);
    say(`the ${shown.near.length} vehicles nearest to ${shown.road} agree, the last at ${Math.round(reach)} m`);
  }

  await page.locator('button[data-vehicle]').first().click();
  await page.getByTestId('journey').waitFor();
  if (has('trips') && has('stops')) {
    await page.waitForFunction(() => document.querySelector('[data-testid=journey]').dataset.ready === 'yes');
    await page.waitForTimeout(1500);
    const shown = await page.evaluate(() => ({
      tick: Number(document.querySelector('[data-testid=screen]').dataset.tick), vehicle: document.querySelector('[data-testid=screen]').dataset.vehicle,
      ...document.querySelector('[data-testid=journey-sum]').dataset,
    }));
    assert.equal(number(shown.trips), (await rows('trips', shown.tick, { vehicle_id: shown.vehicle })).length, 'trips of the vehicle');
    assert.equal(number(shown.stops), (await rows('stops', shown.tick, { vehicle_id: shown.vehicle })).length, 'stops of the vehicle');
    say(`${shown.vehicle}: ${shown.trips} trips and ${shown.stops} stops agree at tick ${shown.tick}`);
  }
  await page.waitForFunction((t) => Number(document.querySelector('[data-testid=screen]').dataset.tick) >= t + 10_000, first.tick, { timeout: 60_000 });
  assert.notEqual(await page.evaluate(() => document.querySelector('[data-testid=map-live]').toDataURL()), before, 'the drawn vehicles move');
  await page.keyboard.press('Escape');
  await page.waitForFunction(() => document.querySelector('[data-testid=screen]').dataset.vehicle === '');
  const chosen = () => page.evaluate(() => document.querySelector('[data-testid=screen]').dataset.vehicle);
  await page.keyboard.press('j');
  const down = await chosen();
  await page.keyboard.press('j');
  const further = await chosen();
  await page.keyboard.press('k');
  assert.notEqual(further, down, 'J moves on');
  assert.equal(await chosen(), down, 'K moves back');
  await page.keyboard.press('Escape');
  await page.getByTestId('fleets').waitFor();
  say('the map moves, J, K and Esc work');
  const last = await figures(page);
  say(`${last.n} figures agree at tick ${last.tick}`);
  await common(page, { name: 'dispatch', english: /Dispatch/, chinese: /调度/, next: 'analytics', complaints, foreign });
  say('OK');
} finally {
  await browser.close();
}
