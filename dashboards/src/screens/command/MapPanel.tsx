// The map as the answer: districts by a metric, the vehicles and alerts of this second above them.

import { For, Show, createEffect, createMemo, createSignal, on, onCleanup, onMount } from 'solid-js';
import { boxOf } from '../../model/reference';
import { METRICS, SEVERITIES, type Shape, alertQueue, isBad } from '../../model/select';
import { alertText } from './alert-text';
import { BaseMap, boxOfDistricts } from './base-map';
import { UNKNOWN, gradient, ramp } from './colour';
import { type Point, type Project, drawScene, lens, prepare, townsOf } from './draw';
import { SeverityMark, ShapeMark } from './Marks';
import { createDistrictValues } from './Ranking';
import { type Screen, num } from './state';

const SHAPES: readonly Shape[] = ['working', 'driving', 'stopped', 'stale', 'offline'];
/** Most alerts that get a note on the map. */
const NOTES = 2;

interface Placed extends Point {
  id: string;
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
  const [notes, setNotes] = createSignal<(Placed & { text: string; side: 'left' | 'right' })[]>([]);
  const [magnified, setMagnified] = createSignal(false);

  const districts = createMemo(() => frame()?.districts ?? []);
  const roads = createMemo(() => frame()?.roads ?? []);
  const towns = createMemo(() => townsOf(roads()));
  const values = createDistrictValues(props.screen);
  const valueOf = createMemo(() => new Map(values().map((row) => [row.id, row.values[metric()]])));
  const greatest = () => Math.max(0, ...[...valueOf().values()].map((value) => value ?? 0));
  const colours = createMemo(() => {
    const most = greatest();
    return new Map([...valueOf()].map(([id, value]) =>
      [id, value === null ? UNKNOWN : ramp(most > 0 ? value / most : 0, isBad(metric()))]));
  });

  const draw = () => {
    const shown = frame();
    if (!base || !shown) return;
    const ctx = prepare(canvas);
    if (!ctx) return;
    const unit = rem();
    const chosen = scope();
    const plain = (at: [number, number]): Point => (base as BaseMap).project(at);
    const wanted = unit * 2.7;
    const project: Project = lens(plain, towns(), wanted);
    const [a, b] = [plain([109, 36]), plain([109, 36.1])];
    const near = Math.min(1, Math.max(0, (Math.abs(a.y - b.y) / unit - 3) / 60));
    setMagnified([...towns().values()].some((town) => {
      const [c, d] = [plain(town.centre), plain([town.centre[0], town.centre[1] + town.reach])];
      return Math.abs(c.y - d.y) < wanted;
    }));
    const queue = alertQueue(shown.alerts ?? [], chosen);
    drawScene(ctx, {
      roads: roads(), vehicles: shown.vehicles ?? [], alerts: queue, sensors: shown.sensors, tick: shown.tick,
      size: unit * (0.3 + 0.28 * near), roadWidth: unit * (0.055 + 0.12 * near),
    }, project, canvas.clientWidth, canvas.clientHeight);

    setLabels(districts().map(({ id, label }) => {
      const p = plain(label);
      const town = towns().get(id);
      if (!town) return { id, x: p.x, y: p.y };
      // A name never lies on its town.
      const c = plain(town.centre);
      const edge = plain([town.centre[0], town.centre[1] + town.reach]);
      const reach = Math.max(wanted, Math.abs(edge.y - c.y));
      const clash = Math.abs(p.x - c.x) < reach + unit * 3.2 && Math.abs(p.y - c.y) < reach + unit * 1.6;
      return clash ? { id, x: c.x, y: c.y - reach - unit * 1.7 } : { id, x: p.x, y: p.y };
    }));
    setNotes(queue.filter((alert) => alert.severity === 'severe' && alert.state === 'open').slice(0, NOTES).flatMap((alert) => {
      const at = shown.sensors.get(alert.target)?.at;
      if (!at) return [];
      const p = project(at, alert.district);
      const side = p.x > canvas.clientWidth * 0.62 ? 'left' as const : 'right' as const;
      return [{ id: alert.alert_id, x: p.x, y: p.y, side, text: alertText(props.screen, alert).what }];
    }));
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
            {(note) => <div class={`map-note ${note.side}`} style={{ left: `${note.x}px`, top: `${note.y}px` }}>{note.text}</div>}
          </For>
        </div>
        <Show when={lost()}><div class="map-lost" role="status">{t('mapLost')}</div></Show>
      </Show>
      <div class="legend">
        <div>
          <span>{t(`metric.${metric()}`)}</span>
          <span>0</span>
          <i class="ramp" style={{ background: gradient(isBad(metric())) }} />
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
          <Show when={magnified()}> · {t('lens')}</Show>
        </div>
        <div>{t('mapHint')}</div>
      </div>
    </section>
  );
}
