// What the browser tests share: the browser, the engine's answers at a tick, figures of a page.
//
//   BASE_URL   address of the engine, default http://127.0.0.1:8080
//   WAIT_S     how long to wait for the first complete frame, default 90
//   OUT        folder for screenshots, default ./out
//   SIZE       1280x720 by default
//   CHROMIUM   path of the browser, default /usr/bin/chromium
//
// A figure on the page and the API's answer at the same tick must agree. The page shows one tick at a time, so figures
// and tick are read in one step inside the page.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { chromium } from 'playwright-core';

export const BASE_URL = (process.env.BASE_URL ?? 'http://127.0.0.1:8080').replace(/\/$/, '');
export const WAIT_MS = Number(process.env.WAIT_S ?? 90) * 1000;
export const OUT = process.env.OUT ?? 'out';
export const [width, height] = (process.env.SIZE ?? '1280x720').split('x').map(Number);
export const say = (text) => process.stdout.write(`${text}\n`);
export const number = (text) => (text === '—' ? null : Number(text.replaceAll(',', '')));

export const launch = () =>
  chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    headless: true,
    args: ['--no-sandbox', '--use-gl=angle', '--use-angle=swiftshader', '--enable-unsafe-swiftshader', '--disable-quic',
      '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });

/** A page, and what it complains of and asks of other hosts. */
export async function open(browser) {
  mkdirSync(OUT, { recursive: true });
  const page = await browser.newPage({ viewport: { width, height } });
  const complaints = [];
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  const foreign = [];
  page.on('request', (request) => {
    const url = request.url();
    if (!url.startsWith(BASE_URL) && !/^(blob|data):/.test(url)) foreign.push(url);
  });
  return { page, complaints, foreign };
}

/** All rows of a view at a tick, over its pages. */
export async function rows(view, tick, where = {}) {
  const all = [];
  let cursor = null;
  do {
    const query = new URLSearchParams({ limit: '1000' });
    if (cursor === null) query.set('as_of', String(tick));
    else query.set('cursor', cursor);
    for (const [column, value] of Object.entries(where)) query.append('where', `${column}:${value}`);
    const answer = await fetch(`${BASE_URL}/api/v1/views/${view}?${query}`);
    assert.equal(answer.status, 200, `GET ${view}?${query}: ${answer.status} ${await answer.clone().text()}`);
    const page = await answer.json();
    assert.equal(page.tick, tick, `${view}: asked for tick ${tick}`);
    all.push(...page.rows);
    cursor = page.next ?? null;
  } while (cursor !== null);
  return all;
}

/** The records of a kind as they are now. */
export async function reference(kind, tick) {
  return new Map((await rows('reference', tick, { kind })).map(({ id, json }) => [id, typeof json === 'string' ? JSON.parse(json) : json]));
}

/** Which of the views are missing in this engine: the panels that a screen has to leave out. */
export async function missing(views) {
  const answer = await fetch(`${BASE_URL}/api/v1/views`);
  const names = new Set((await answer.json()).map(({ name }) => name));
  return views.filter((view) => !names.has(view));
}

/** Figures by test id, and what the screen says of itself, all of one tick. */
export const read = (page) =>
  page.evaluate(() => {
    const figures = {};
    for (const element of document.querySelectorAll('[data-testid]')) {
      if (element.children.length === 0) figures[element.dataset.testid] = element.textContent.trim();
    }
    const screen = document.querySelector('[data-testid=screen]');
    return { ...screen.dataset, tick: Number(screen.dataset.tick), figures };
  });

/** Opens a screen and waits until it is live and `ready` holds of its dataset. */
export async function show(page, path, ready) {
  await page.goto(`${BASE_URL}/${path}`);
  await page.waitForFunction(
    (names) => {
      const data = document.querySelector('[data-testid=screen]')?.dataset;
      return data?.health === 'live' && names.every((name) => data[name]);
    },
    ready, { timeout: WAIT_MS },
  );
}

/** The notes in place of panels are there for each missing view that has one, and for no other. */
export async function checkNotes(page, absent, noted) {
  const notes = await page.evaluate(() => [...new Set([...document.querySelectorAll('[data-missing]')].map((note) => note.dataset.missing))].sort());
  assert.deepEqual(notes, noted.filter((view) => absent.includes(view)).sort(), 'notes in place of panels');
  say(absent.length > 0 ? `LEFT OUT, this engine has no view: ${absent.join(', ')}` : 'every panel has its view');
}

/** Expected against shown, each by name. */
export function compare(expected, figures, tick) {
  for (const [name, value] of Object.entries(expected)) {
    const shown = typeof value === 'string' ? figures[name] : number(figures[name] ?? '—');
    assert.equal(shown, value, `${name} at tick ${tick}`);
  }
  return Object.keys(expected).length;
}

export const percent = (value) => (value === null || value === undefined ? '—' : (value * 100).toFixed(1));

/** The parts that every light screen has: language, navigation, disconnection, silence of the console. */
export async function common(page, { name, english, chinese, next, complaints, foreign }) {
  await page.screenshot({ path: `${OUT}/${name}-${width}x${height}.png` });
  await page.getByTestId('language').click();
  assert.match(await page.textContent('h1'), english);
  await page.screenshot({ path: `${OUT}/${name}-en-${width}x${height}.png` });
  await page.getByTestId('language').click();
  assert.match(await page.textContent('h1'), chinese);
  say('the language switches');

  const heard = complaints.length;
  await page.context().setOffline(true);
  await page.getByTestId('frozen').waitFor({ timeout: 30_000 });
  const filter = await page.evaluate(() => getComputedStyle(document.querySelector('.data')).filter);
  assert.ok(Number(/brightness\(([\d.]+)\)/.exec(filter)?.[1] ?? 1) < 0.9, `the data are dimmed: ${filter}`);
  await page.context().setOffline(false);
  await page.waitForFunction(() => document.querySelector('[data-testid=screen]').dataset.health === 'live', null, { timeout: 30_000 });
  say('disconnected dims, and comes back');

  // What the browser itself says about a network that was cut on purpose is no complaint.
  const own = complaints.filter((text, i) => i < heard || !/ERR_INTERNET_DISCONNECTED|WebSocket connection/.test(text));
  assert.deepEqual(own, [], 'no errors in the console');
  assert.deepEqual(foreign, [], 'nothing is asked of any other host');
  say('no console errors, no foreign requests');

  await page.getByTestId(`nav-${next}`).click();
  await page.waitForURL((url) => url.pathname === (next === 'command' ? '/' : `/${next}`));
  await page.getByTestId(next === 'command' ? 'command' : 'screen').waitFor();
  say(`the navigation leads to ${next}`);
}
