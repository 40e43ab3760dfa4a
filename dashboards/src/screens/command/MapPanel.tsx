// The map as the answer: districts by a metric, the vehicles and alerts of this second above them.

import { For, Show, createEffect, createMemo, createSignal, on, onCleanup, onMount } from 'solid-js';
import type { AlertRow } from '../../live/types';
import { boxOf } from '../../model/reference';
import { METRICS, SEVERITIES, type Shape, alertQueue, isBad } from '../../model/select';
import { alertText } from './alert-text';
import { BaseMap, boxOfDistricts } from './base-map';
import { BESIDE, GROUND, UNKNOWN, gradient, ramp } from './colour';
import { type Point, type Project, type Town, drawScene, lens, prepare, townsOf } from './draw';
import { type Rect, around, best, inside, outsideOf, overlap, textWidth } from './placing';
import { SeverityMark, ShapeMark } from './Marks';
import { createDistrictValues } from './Ranking';
import { type Screen, num } from './state';

const SHAPES: readonly Shape[] = ['working', 'driving', 'stopped', 'stale', 'offline'];
/** Most alerts that get a note on the map. */
const NOTES = 2;
/** Steps of the colours: more than an eye tells apart, few enough that the base map is seldom drawn anew. */
const SHADES = 12;
/** By the root, so that one great district does not make all others alike; the legend says what the middle is. */
const shade = (share: number) => Math.sqrt(share);

interface Placed extends Point {
  id: string;
  text?: string;
}

const rem = () => Number.parseFloat(getComputedStyle(document.documentElement).fontSize);

export function MapPanel(props: { screen: Screen }) {
  const { t, frame, metric, setMetric, scope, setScope, placeName } = props.screen;
  let container!: HTMLDivElement;
  let canvas!: HTMLCanvasElement;
  let base: BaseMap | null = null;
  const [drawable, setDrawable] = createSignal(true);
  const [lost, setLost] = createSignal(false);
  const [labels, setLabels] = createSignal<Placed[]>([]);
  const [notes, setNotes] = createSignal<Placed[]>([]);
  const [magnified, setMagnified] = createSignal(false);

  const districts = createMemo(() => frame()?.districts ?? []);
  const roads = createMemo(() => frame()?.roads ?? []);
  const towns = createMemo(() => townsOf(roads()));
  const values = createDistrictValues(props.screen);
  const valueOf = createMemo(() => new Map(values().map((row) => [row.id, row.values[metric()]])));
  const greatest = () => Math.max(0, ...[...valueOf().values()].map((value) => value ?? 0));
  const colours = createMemo(() => {
    const most = greatest();
    const chosen = scope();
    if (chosen !== null) return new Map([...valueOf().keys()].map((id) => [id, id === chosen ? GROUND : BESIDE]));
    return new Map([...valueOf()].map(([id, value]) =>
      [id, value === null ? UNKNOWN : ramp(most > 0 ? Math.round(shade(value / most) * SHADES) / SHADES : 0, isBad(metric()))]));
  });

  const draw = () => {
    const shown = frame();
    if (!base || !shown) return;
    const ctx = prepare(canvas);
    if (!ctx) return;
    const unit = rem();
    const chosen = scope();
    const plain = (at: [number, number]): Point => (base as BaseMap).project(at);
    const wanted = (town: Town) => unit * (2.1 + 1.7 * town.weight);
    const project: Project = lens(plain, towns(), wanted);
    const [a, b] = [plain([109, 36]), plain([109, 36.1])];
    const near = Math.min(1, Math.max(0, (Math.abs(a.y - b.y) / unit - 3) / 60));
    const queue = alertQueue(shown.alerts ?? [], chosen);
    drawScene(ctx, {
      roads: roads(), vehicles: shown.vehicles ?? [], alerts: queue, sensors: shown.sensors, tick: shown.tick,
      size: unit * (0.3 + 0.28 * near), roadWidth: unit * (0.055 + 0.12 * near),
    }, project, canvas.clientWidth, canvas.clientHeight);

    const spots = new Map([...towns()].map(([id, town]) => {
      const c = plain(town.centre);
      const true_reach = Math.abs(plain([town.centre[0], town.centre[1] + town.reach]).y - c.y);
      return [id, { c, true_reach, reach: Math.max(wanted(town), true_reach) }] as const;
    }));
    setMagnified([...spots.values()].some((spot) => spot.reach > spot.true_reach));
    placeTexts(queue, project, plain, spots, unit);
  };

  const placeTexts = (
    queue: readonly AlertRow[], project: Project, plain: (at: [number, number]) => Point,
    spots: ReadonlyMap<string, { c: Point; reach: number }>, unit: number,
  ) => {
    const taken: Rect[] = [...spots.values()].map(({ c, reach }) => around(c, reach * 1.8, reach * 1.8));
    const named: Placed[] = [];
    for (const { id, label, geometry } of districts()) {
      // Room for three digits, whatever the value is now.
      const [w, h] = [unit * (textWidth(placeName(id)) * 1.1 + 3), unit * 1.8];
      const p = plain(label);
      const middles: Point[] = [p];
      const spot = spots.get(id);
      if (spot) {
        const { c, reach } = spot;
        const [up, side] = [reach + unit * 0.9, reach + w / 2];
        middles.push(
          { x: c.x, y: c.y - up }, { x: c.x, y: c.y + up }, { x: c.x - side, y: c.y }, { x: c.x + side, y: c.y },
          { x: c.x - side * 0.7, y: c.y - up * 0.8 }, { x: c.x + side * 0.7, y: c.y - up * 0.8 },
          { x: c.x - side * 0.7, y: c.y + up * 0.8 }, { x: c.x + side * 0.7, y: c.y + up * 0.8 },
        );
      }
      for (const [dx, dy] of [[0, -2.5], [0, 2.5], [-4, 0], [4, 0]] as const) middles.push({ x: p.x + dx * unit, y: p.y + dy * unit });
      // A name outside its district names the wrong one.
      const outside = (at: Rect) =>
        inside(geometry, (base as BaseMap).unproject({ x: at.x + at.w / 2, y: at.y + at.h / 2 })) ? 0 : w * h * 2;
      const found = best(middles.map((middle) => around(middle, w, h)), taken, outside);
      if (!found) continue;
      taken.push(found.at);
      named.push({ id, x: found.at.x + w / 2, y: found.at.y + h / 2 });
    }
    setLabels(named);

    const shown = frame();
    const noted: Placed[] = [];
    const [ground, texts] = [taken.slice(0, spots.size), taken.slice(spots.size)];
    for (const alert of queue) {
      if (noted.length === NOTES || alert.severity !== 'severe') break;
      const at = shown?.sensors.get(alert.target)?.at;
      if (!at || alert.state !== 'open') continue;
      const p = project(at, alert.district);
      const text = alertText(props.screen, alert).what;
      const [w, h] = [unit * Math.min(17, textWidth(text) * 0.95 + 1.3), unit * 1.7];
      const [dx, dy] = [w / 2 + unit * 1.1, h / 2 + unit * 1.1];
      const middles: Point[] = [
        { x: p.x + dx, y: p.y }, { x: p.x - dx, y: p.y }, { x: p.x, y: p.y - dy }, { x: p.x, y: p.y + dy },
        { x: p.x + dx, y: p.y - dy }, { x: p.x + dx, y: p.y + dy }, { x: p.x - dx, y: p.y - dy }, { x: p.x - dx, y: p.y + dy },
      ];
      // What the panel would cut off cannot be read at all: such a place is not tried.
      const whole = middles.map((middle) => around(middle, w, h))
        .filter((at) => outsideOf(at, canvas.clientWidth, canvas.clientHeight) <= 0);
      const onTowns = (at: Rect) => ground.reduce((sum, town) => sum + overlap(at, town), 0) * 0.2;
      const found = best(whole, texts, onTowns);
      // A note that would cover a name is left to the list.
      if (!found || texts.some((other) => overlap(found.at, other) > w * h * 0.1)) continue;
      texts.push(found.at);
      noted.push({ id: alert.alert_id, x: found.at.x + w / 2, y: found.at.y + h / 2, text });
    }
    setNotes(noted);
  };

  const fit = (animate: boolean) => {
    const chosen = scope();
    const unit = rem();
    const inTown = chosen === null ? [] : roads().filter((road) => road.district === chosen).flatMap((road) => road.line);
    const all = chosen === null ? districts() : districts().filter((district) => district.id === chosen);
    const box = (inTown.length > 0 ? boxOf(inTown) : null) ?? boxOfDistricts(all);
    base?.fit(box, unit * (chosen === null ? 3.4 : 7), animate);
  };

  onMount(() => {
    try {
      base = new BaseMap(container, { moved: draw, clicked: (id) => id !== null && setScope(id), lost: setLost });
    } catch {
      setDrawable(false);
      return;
    }
    const watch = new ResizeObserver(draw);
    watch.observe(canvas);
    onCleanup(() => {
      watch.disconnect();
      base?.remove();
    });
    createEffect(on(districts, (now) => {
      base?.setDistricts(now);
      fit(false);
    }));
    createEffect(on(scope, () => fit(true), { defer: true }));
    createEffect(() => base?.setColours(colours(), scope()));
    createEffect(draw);
  });

  return (
    <section class="map" aria-label={t('mapArea')}>
      <nav class="metrics" aria-label={t('mapMetric')}>
        <For each={METRICS}>
          {(name) => (
            <button type="button" aria-pressed={metric() === name} data-testid={`metric-${name}`} onClick={() => setMetric(name)}>
              {t(`metric.${name}`)}
            </button>
          )}
        </For>
        <Show when={scope() !== null}>
          <button type="button" class="back" data-testid="back" onClick={() => setScope(null)}>‹ {t('back')} <kbd>Esc</kbd></button>
        </Show>
      </nav>
      <Show when={drawable()} fallback={
        <div class="no-map" data-testid="map-fallback">
          <p>{t('noWebgl')}</p>
          <ul>
            <For each={values()}>
              {(row) => (
                <li><button type="button" onClick={() => setScope(row.id)}>{placeName(row.id)} <b>{num(row.values[metric()])}</b></button></li>
              )}
            </For>
          </ul>
        </div>
      }>
        <div class="map-base" ref={container} data-testid="map" />
        <canvas class="map-live" ref={canvas} data-testid="map-live" data-tick={frame()?.tick} />
        <div class="map-labels">
          <For each={labels().map((label) => label.id)}>
            {(id) => {
              const place = () => labels().find((label) => label.id === id);
              return (
                <div class="map-label" classList={{ aside: scope() !== null && scope() !== id }}
                  style={{ left: `${place()?.x ?? 0}px`, top: `${place()?.y ?? 0}px` }}>
                  <span>{placeName(id)}</span>
                  <b data-testid={`district-${id}`}>{num(valueOf().get(id))}</b>
                </div>
              );
            }}
          </For>
          <For each={notes()}>
            {(note) => <div class="map-note" style={{ left: `${note.x}px`, top: `${note.y}px` }}>{note.text}</div>}
          </For>
        </div>
        <Show when={lost()}><div class="map-lost" role="status" data-testid="map-lost">{t('mapLost')}</div></Show>
      </Show>
      <div class="legend">
        <div style={{ visibility: scope() === null ? 'visible' : 'hidden' }}>
          <span>{t(`metric.${metric()}`)}</span>
          <span>0</span>
          <i class="ramp" style={{ background: gradient(isBad(metric())) }}>
            <Show when={greatest() >= 8}><span>{num(Math.round(greatest() / 4))}</span></Show>
          </i>
          <span>{num(frame() ? greatest() : null)}</span>
        </div>
        <div>
          <For each={SHAPES}>{(shape) => <span><ShapeMark shape={shape} />{t(shape)}</span>}</For>
          <For each={SEVERITIES}>{(severity) => <span><SeverityMark severity={severity} />{t(`severity.${severity}`)}</span>}</For>
        </div>
      </div>
      <div class="credits">
        <div>
          <Show when={frame()?.shippedBorders}>{t('attribution')}</Show>
          <Show when={roads().some((road) => road.schematic)}> · {t('schematic')}</Show>
          <Show when={magnified() && scope() === null}> · {t('lens')}</Show>
        </div>
        <div>{t('mapHint')}</div>
      </div>
    </section>
  );
}
