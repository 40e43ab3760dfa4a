// The analytics screen in a real browser against a running engine (or `dev/mock.mjs`). Settings: see `browser.mjs`.
import assert from 'node:assert/strict';
import { checkNotes, common, compare, launch, missing, number, open, percent, read, rows, say, show } from './browser.mjs';

const VIEWS = ['scores', 'indicators', 'case_rates', 'district_coverage', 'park_radius', 'residence_access', 'reference'];
const browser = await launch();
const absent = await missing(VIEWS);
const has = (view) => !absent.includes(view);

async function figures(page) {
  const shown = await read(page);
  const { tick, scheme, period, parkScheme } = shown;
  const expected = {};
  if (has('scores') && scheme !== '') {
    const scores = await rows('scores', tick, { scheme, period });
    assert.ok(scores.length > 0, `scores of ${scheme} in ${period}`);
    for (const row of scores) expected[`score-${row.district}`] = row.score === null ? '—' : row.score.toFixed(1);
    const known = scores.filter((row) => row.score !== null).map((row) => row.score);
    const mean = known.length > 0 ? known.reduce((sum, score) => sum + score, 0) / known.length : null;
    const said = await page.evaluate(() => document.querySelector('[data-testid=mean-score]').dataset.mean);
    if (Number((await read(page)).tick) === tick && mean !== null) assert.ok(Math.abs(Number(said) - mean) < 1e-6, `mean score at tick ${tick}`);
  }
  const casePeriod = await page.evaluate(() => document.querySelector('[data-testid=cases-period]')?.dataset.period);
  const rates = (await rows('case_rates', tick)).filter((row) => row.scope === 'city' || row.scope === 'district');
  const onTime = (row) => (row.closed > 0 ? ((row.closed - row.closed_overdue) / row.closed) : null);
  for (const row of rates.filter((one) => one.period === casePeriod)) {
    const id = row.scope === 'city' ? 'city' : row.id;
    expected[`reported-${id}`] = row.reported;
    expected[`closed-${id}`] = row.closed;
    expected[`on-time-${id}`] = onTime(row) === null ? '—' : `${percent(onTime(row))}%`;
  }
  const all = rates.find((row) => row.scope === 'city' && row.period === 'all');
  expected['kpi-on-time'] = all ? percent(onTime(all)) : '—';
  if (has('park_radius')) {
    for (const row of (await rows('park_radius', tick)).filter((one) => (one.scheme ?? '') === parkScheme)) {
      expected[row.district === 'city' ? 'park-share' : `park-${row.district}`] = percent(row.share);
    }
  }
  return { ...shown, n: compare(expected, shown.figures, tick) };
}

try {
  const { page, complaints, foreign } = await open(browser);
  const scored = has('scores') && has('indicators');
  await show(page, 'analytics', ['tick', ...(scored ? ['scheme', 'period', 'unit'] : [])]);
  await page.waitForTimeout(2500);
  // A note stands for the panel; what lies within a panel that is left out needs none of its own.
  const noted = ['scores', 'indicators', 'case_rates', 'park_radius', ...(has('park_radius') ? ['residence_access'] : [])];
  await checkNotes(page, absent, noted);
  const first = await figures(page);
  say(`${first.n} figures agree with the API at tick ${first.tick}`);

  if (scored) {
    await page.locator('tr[data-unit]').last().click();
    await page.waitForTimeout(1500);
    const shown = await page.evaluate(() => ({
      ...document.querySelector('[data-testid=screen]').dataset,
      points: [...document.querySelectorAll('tr[data-indicator]')].map((row) => [row.dataset.indicator, row.lastElementChild.textContent]),
    }));
    const [row] = await rows('scores', Number(shown.tick), { scheme: shown.scheme, period: shown.period, district: shown.unit });
    const parts = await rows('indicators', Number(shown.tick), { scheme: shown.scheme, period: shown.period, district: shown.unit });
    assert.equal(shown.points.length, parts.length, 'every indicator is listed');
    const sum = shown.points.reduce((total, [, points]) => total + (number(points) ?? 0), 0);
    if (row.score !== null) assert.ok(Math.abs(sum - row.score) <= 0.005 * parts.length + 0.01, `the points add up: ${sum} against ${row.score}`);
    await page.locator('tr[data-indicator]').first().click();
    await page.locator('.formula').waitFor();
    await page.getByTestId('inputs').locator('p').first().waitFor();
    say(`opened down to: ${(await page.getByTestId('inputs').locator('p').first().textContent()).slice(0, 90)}`);
    say(`${shown.unit}: ${parts.length} indicators add up to ${row.score?.toFixed(1)}`);
  }
  const last = await figures(page);
  say(`${last.n} figures agree at tick ${last.tick}`);
  await common(page, { name: 'analytics', english: /Analytics/, chinese: /分析/, next: 'command', complaints, foreign });
  say('OK');
} finally {
  await browser.close();
}
