// The base map: districts coloured by a value, nothing else. One map for the life of the page, drawn only when a colour
// or the camera changes; everything that moves each second is on a canvas above it.
//
// When the WebGL context is lost the map is built anew: as soon as it comes back, else every few seconds. Where there is
// no WebGL at all the constructor throws.

import { LngLatBounds, type Map as MapLibre, Map as MapLibreMap, type StyleSpecification, setWorkerUrl } from 'maplibre-gl';
import workerUrl from 'maplibre-gl/dist/maplibre-gl-worker.mjs?worker&url';
import 'maplibre-gl/dist/maplibre-gl.css';
import type { FeatureCollection } from 'geojson';
import { type Box, type District, boxOf, positionsOf } from '../../model/reference';
import type { Point } from './draw';

setWorkerUrl(workerUrl);

/** A lost context that has not come back by then is replaced; also the pause between attempts, ms. */
const RESTORE_MS = 5000;

/** Widths follow the size of the screen: `unit` is one rem in px. */
const style = (unit: number): StyleSpecification => ({
  version: 8,
  sources: { districts: { type: 'geojson', data: { type: 'FeatureCollection', features: [] }, promoteId: 'id' } },
  layers: [
    {
      id: 'glow', type: 'line', source: 'districts',
      layout: { 'line-join': 'round' },
      paint: { 'line-color': '#2a86b8', 'line-width': unit * 0.8, 'line-blur': unit * 0.6, 'line-opacity': 0.6 },
    },
    {
      id: 'fill', type: 'fill', source: 'districts',
      paint: { 'fill-color': ['coalesce', ['feature-state', 'colour'], '#132747'], 'fill-antialias': true },
    },
    {
      id: 'border', type: 'line', source: 'districts',
      layout: { 'line-join': 'round' },
      paint: { 'line-color': '#0a1830', 'line-width': unit * 0.1 },
    },
    {
      id: 'chosen', type: 'line', source: 'districts',
      layout: { 'line-join': 'round' },
      paint: {
        'line-color': '#7fd8ea', 'line-width': unit * 0.19,
        'line-opacity': ['case', ['boolean', ['feature-state', 'chosen'], false], 1, 0],
      },
    },
  ],
});

export interface BaseMapEvents {
  moved(): void;
  clicked(district: string | null): void;
  /** The context is lost (true), or the whole map is drawn (false). */
  lost(lost: boolean): void;
}

export class BaseMap {
  private map: MapLibre;
  private districts: readonly District[] = [];
  private colours: ReadonlyMap<string, string> = new Map();
  private chosen: string | null = null;
  private box: Box | null = null;
  private padding = 0;
  private ready = false;
  private removed = false;
  private restoring: ReturnType<typeof setTimeout> | undefined;

  /** Throws where there is no WebGL. */
  constructor(
    private readonly container: HTMLElement,
    private readonly events: BaseMapEvents,
  ) {
    this.map = this.create();
  }

  private create(): MapLibre {
    const map = new MapLibreMap({
      container: this.container,
      style: style(Number.parseFloat(getComputedStyle(document.documentElement).fontSize)),
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
      this.upload();
      this.fit(this.box, this.padding, false);
      // Tiles come one by one: only now is the picture whole.
      map.once('idle', () => this.events.lost(false));
    });
    map.on('move', () => this.events.moved());
    map.on('resize', () => this.fit(this.box, this.padding, false));
    map.on('click', (event) => {
      const hit = this.ready ? map.queryRenderedFeatures(event.point, { layers: ['fill'] })[0] : undefined;
      this.events.clicked(hit ? String(hit.properties['id']) : null);
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

  project(at: [number, number]): Point {
    return this.map.project(at);
  }

  unproject(p: Point): [number, number] {
    const { lng, lat } = this.map.unproject([p.x, p.y]);
    return [lng, lat];
  }

  setDistricts(districts: readonly District[]): void {
    this.districts = districts;
    if (this.ready) this.upload();
  }

  private upload(): void {
    const data: FeatureCollection = {
      type: 'FeatureCollection',
      features: this.districts.map(({ id, geometry }) => ({ type: 'Feature', properties: { id }, geometry })),
    };
    const source = this.map.getSource('districts');
    if (source && 'setData' in source) (source as unknown as { setData(data: FeatureCollection): void }).setData(data);
    this.paint();
  }

  setColours(colours: ReadonlyMap<string, string>, chosen: string | null): void {
    const same = chosen === this.chosen && colours.size === this.colours.size &&
      [...colours].every(([id, colour]) => this.colours.get(id) === colour);
    this.colours = colours;
    this.chosen = chosen;
    if (!same && this.ready) this.paint();
  }

  private paint(): void {
    for (const { id } of this.districts) {
      this.map.setFeatureState({ source: 'districts', id }, {
        colour: this.colours.get(id) ?? '#132747',
        chosen: id === this.chosen,
      });
    }
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

  remove(): void {
    clearTimeout(this.restoring);
    if (!this.removed) this.map.remove();
    this.removed = true;
  }
}

export function boxOfDistricts(districts: readonly District[]): Box | null {
  return boxOf(districts.flatMap((district) => [...positionsOf(district.geometry)]));
}
