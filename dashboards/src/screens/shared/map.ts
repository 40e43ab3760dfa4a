// A MapLibre map of GeoJSON sources, made once for the life of the page. Sources, feature states and the box shown are
// kept here, so that a map that had to be built anew looks as before.
//
// When the WebGL context is lost the map is built anew: as soon as it comes back, else every few seconds. Where there is
// no WebGL at all the constructor throws. Bounded by the features of its sources.

import { LngLatBounds, type Map as MapLibre, Map as MapLibreMap, type StyleSpecification, setWorkerUrl } from 'maplibre-gl';
import workerUrl from 'maplibre-gl/dist/maplibre-gl-worker.mjs?worker&url';
import 'maplibre-gl/dist/maplibre-gl.css';
import type { FeatureCollection } from 'geojson';
import type { Box } from '../../model/reference';

setWorkerUrl(workerUrl);

/** A lost context that has not come back by then is replaced; also the pause between attempts, ms. */
const RESTORE_MS = 5000;
/** How far from a thin line a click still means it, px. */
const CLICK_REACH = 6;

export type Point = { x: number; y: number };
export type State = Record<string, string | number | boolean | null>;

export interface MapEvents {
  moved(): void;
  /** A click and the features of `layers` there, the topmost first: [layer, id]. */
  clicked(at: [number, number], hits: readonly (readonly [layer: string, id: string])[]): void;
  /** The context is lost (true), or the whole map is drawn (false). */
  lost(lost: boolean): void;
}

const EMPTY: FeatureCollection = { type: 'FeatureCollection', features: [] };

/** A style of layers over GeoJSON sources of these names, whose features have an `id` among their properties. */
export function styleOf(sources: readonly string[], layers: StyleSpecification['layers']): StyleSpecification {
  return {
    version: 8,
    sources: Object.fromEntries(sources.map((name) => [name, { type: 'geojson' as const, data: EMPTY, promoteId: 'id' }])),
    layers,
  };
}

export class GeoMap {
  private map: MapLibre;
  private readonly data = new Map<string, FeatureCollection>();
  private readonly states = new Map<string, Map<string, State>>();
  private box: Box | null = null;
  private padding = 0;
  private ready = false;
  private removed = false;
  private restoring: ReturnType<typeof setTimeout> | undefined;

  /** `style` gets one rem in px, so that widths follow the screen; `clickable` names the layers that answer clicks. */
  constructor(
    private readonly container: HTMLElement,
    private readonly style: (unit: number) => StyleSpecification,
    private readonly clickable: readonly string[],
    private readonly events: MapEvents,
  ) {
    this.map = this.create();
  }

  private create(): MapLibre {
    const map = new MapLibreMap({
      container: this.container,
      style: this.style(Number.parseFloat(getComputedStyle(document.documentElement).fontSize)),
      center: [109.2, 36.4],
      zoom: 7,
      attributionControl: false,
      dragRotate: false,
      pitchWithRotate: false,
      touchPitch: false,
      fadeDuration: 0,
      keyboard: false,
      renderWorldCopies: false,
      pixelRatio: Math.min(devicePixelRatio || 1, 2),
    });
    map.touchZoomRotate.disableRotation();
    map.on('load', () => {
      this.ready = true;
      for (const [source, data] of this.data) this.upload(source, data);
      for (const [source, states] of this.states) {
        for (const [id, state] of states) map.setFeatureState({ source, id }, state);
      }
      this.fit(this.box, this.padding, false);
      // Tiles come one by one: only now is the picture whole.
      map.once('idle', () => this.events.lost(false));
    });
    map.on('move', () => this.events.moved());
    map.on('resize', () => this.fit(this.box, this.padding, false));
    map.on('click', ({ point: { x, y }, lngLat }) => {
      const around = (reach: number): [[number, number], [number, number]] => [[x - reach, y - reach], [x + reach, y + reach]];
      const query = (reach: number) => map.queryRenderedFeatures(around(reach), { layers: [...this.clickable] });
      const exact = this.ready ? query(0) : [];
      const found = this.ready && exact.length === 0 ? query(CLICK_REACH) : exact;
      this.events.clicked([lngLat.lng, lngLat.lat], found.map((hit) => [hit.layer.id, String(hit.properties['id'])] as const));
    });
    // Without a context the map has no style to talk to: `ready` is false until a new one has loaded.
    map.on('webglcontextlost', () => {
      this.ready = false;
      this.events.lost(true);
      this.rebuildAfter(RESTORE_MS);
    });
    map.on('webglcontextrestored', () => this.rebuildAfter(0));
    return map;
  }

  private rebuildAfter(ms: number): void {
    clearTimeout(this.restoring);
    this.restoring = setTimeout(() => {
      if (!this.removed) this.map.remove();
      this.removed = true;
      try {
        this.map = this.create();
        this.removed = false;
      } catch {
        this.rebuildAfter(RESTORE_MS);
      }
    }, ms);
  }

  private upload(name: string, data: FeatureCollection): void {
    const source = this.map.getSource(name);
    if (source && 'setData' in source) (source as unknown as { setData(data: FeatureCollection): void }).setData(data);
  }

  project(at: [number, number]): Point {
    return this.map.project(at);
  }

  unproject(p: Point): [number, number] {
    const { lng, lat } = this.map.unproject([p.x, p.y]);
    return [lng, lat];
  }

  setData(source: string, data: FeatureCollection): void {
    this.data.set(source, data);
    if (this.ready) this.upload(source, data);
  }

  /** The states of the features of a source, by id. Only what differs from before is drawn anew. */
  setStates(source: string, next: ReadonlyMap<string, State>): void {
    const before = this.states.get(source) ?? new Map<string, State>();
    this.states.set(source, new Map(next));
    if (!this.ready) return;
    for (const [id, state] of next) {
      const old = before.get(id);
      if (old && Object.entries(state).every(([name, value]) => old[name] === value)) continue;
      this.map.setFeatureState({ source, id }, state);
    }
    for (const id of before.keys()) if (!next.has(id)) this.map.removeFeatureState({ source, id });
  }

  /** Shows a box with a padding in px; it is shown again whenever the map changes its size. */
  fit(box: Box | null, padding: number, animate: boolean): void {
    this.box = box;
    this.padding = padding;
    if (!box || !this.ready) return;
    const bounds = new LngLatBounds([box[0], box[1]], [box[2], box[3]]);
    this.map.fitBounds(bounds, { padding, animate, duration: 700 });
    this.events.moved();
  }

  centre(at: [number, number], zoom: number): void {
    if (this.ready) this.map.easeTo({ center: at, zoom: Math.max(this.map.getZoom(), zoom), duration: 400 });
  }

  zoomBy(steps: number): void {
    this.map.zoomTo(this.map.getZoom() + steps, { duration: 200 });
  }

  remove(): void {
    clearTimeout(this.restoring);
    if (!this.removed) this.map.remove();
    this.removed = true;
  }
}
