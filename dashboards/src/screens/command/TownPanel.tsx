// The plan of one town: its roads as the reference data draw them, and the vehicles on them. The chosen district's, or
// that of the district with the most vehicles.

import { Show, createEffect, createMemo, onCleanup, onMount } from 'solid-js';
import { type Box, boxOf } from '../../model/reference';
import { type Project, drawScene, prepare } from './draw';
import { type Screen } from './state';

export function TownPanel(props: { screen: Screen }) {
  const { t, frame, scope, placeName } = props.screen;
  let canvas!: HTMLCanvasElement;

  const place = createMemo(() => {
    const chosen = scope();
    if (chosen !== null) return chosen;
    let best: string | null = null;
    let most = 0;
    for (const [id, counts] of frame()?.vehicleCounts ?? []) {
      if (id !== null && counts.total > most) [best, most] = [id, counts.total];
    }
    return best;
  });
  const roads = createMemo(() => (frame()?.roads ?? []).filter((road) => road.district === place()));
  const box = createMemo<Box | null>(() => boxOf(roads().flatMap((road) => road.line)));

  const draw = () => {
    const shown = frame();
    const ctx = prepare(canvas);
    const bounds = box();
    if (!ctx || !shown || !bounds) return;
    const { clientWidth: width, clientHeight: height } = canvas;
    const pad = width * 0.035;
    const squeeze = Math.cos((((bounds[1] + bounds[3]) / 2) * Math.PI) / 180);
    const [spanX, spanY] = [(bounds[2] - bounds[0]) * squeeze || 1e-6, bounds[3] - bounds[1] || 1e-6];
    const scale = Math.min((width - 2 * pad) / spanX, (height - 2 * pad) / spanY);
    const project: Project = ([lon, lat]) => ({
      x: width / 2 + (lon - (bounds[0] + bounds[2]) / 2) * squeeze * scale,
      y: height / 2 - (lat - (bounds[1] + bounds[3]) / 2) * scale,
    });
    const here = place();
    drawScene(ctx, {
      roads: roads(),
      vehicles: (shown.vehicles ?? []).filter((vehicle) => vehicle.district === here),
      alerts: (shown.alerts ?? []).filter((alert) => alert.district === here),
      sensors: shown.sensors,
      tick: shown.tick,
      size: Math.max(3, width / 95),
      roadWidth: Math.max(1, width / 260),
    }, project, width, height);
  };

  onMount(() => {
    const watch = new ResizeObserver(draw);
    watch.observe(canvas);
    onCleanup(() => watch.disconnect());
    createEffect(draw);
  });

  return (
    <section class="panel town">
      <div class="panel-head">
        <h2>{t('townTitle', { place: placeName(place()) })}</h2>
        <span>
          <Show when={roads().length > 0} fallback={frame() ? t('noRoads') : ''}>
            {roads().some((road) => road.schematic) ? t('schematic') : t('liveDots')}
          </Show>
        </span>
      </div>
      <div class="town-plan"><canvas ref={canvas} role="img" aria-label={t('townTitle', { place: placeName(place()) })} /></div>
    </section>
  );
}
