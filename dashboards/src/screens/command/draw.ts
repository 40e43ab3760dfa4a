// Vehicles, roads and alerts on a 2D canvas: over the map, and as the plan of one town.
//
// Shapes say the state without colour: arrow working, hollow arrow driving, square stopped, dashed ring stale, cross
// offline; triangle severe, diamond warning, ring notice. A separate canvas, so that a second of traffic costs a few
// hundred strokes and not a render of the whole map.

import type { AlertRow, Severity, VehicleRow } from '../../live/types';
import type { Road, Sensor } from '../../model/reference';
import { type Shape, shapeOf } from '../../model/select';

export type Point = { x: number; y: number };
export type Project = (at: [number, number], district: string | null) => Point;

export const COLOURS = {
  working: '#f4fbff', driving: '#7fd4e6', stopped: '#f2b84b', stale: '#b9c9e0', offline: '#8ea3c2',
  severe: '#ff6b4a', warning: '#f2b84b', notice: '#9db1cd', road: '#3d6f96', mainRoad: '#5fa8cf', ink: '#08111f',
} as const;

export type Palette = Record<Shape | 'ink', string>;

export function drawShape(ctx: CanvasRenderingContext2D, shape: Shape, p: Point, heading: number, s: number, colours: Palette = COLOURS): void {
  ctx.save();
  ctx.translate(p.x, p.y);
  ctx.lineWidth = Math.max(1, s * 0.3);
  ctx.lineJoin = 'round';
  switch (shape) {
    case 'working':
    case 'driving':
      ctx.rotate((heading * Math.PI) / 180);
      ctx.beginPath();
      ctx.moveTo(0, -s * 1.25);
      ctx.lineTo(s * 0.85, s);
      ctx.lineTo(0, s * 0.5);
      ctx.lineTo(-s * 0.85, s);
      ctx.closePath();
      ctx.strokeStyle = shape === 'working' ? colours.ink : colours.driving;
      ctx.fillStyle = shape === 'working' ? colours.working : colours.ink;
      if (shape === 'working') ctx.stroke();
      ctx.fill();
      if (shape === 'driving') ctx.stroke();
      break;
    case 'stopped':
      ctx.fillStyle = colours.stopped;
      ctx.strokeStyle = colours.ink;
      ctx.strokeRect(-s * 0.75, -s * 0.75, s * 1.5, s * 1.5);
      ctx.fillRect(-s * 0.75, -s * 0.75, s * 1.5, s * 1.5);
      break;
    case 'stale':
      ctx.strokeStyle = colours.stale;
      ctx.setLineDash([s * 0.55, s * 0.45]);
      ctx.beginPath();
      ctx.arc(0, 0, s * 0.85, 0, Math.PI * 2);
      ctx.stroke();
      break;
    case 'offline':
      ctx.strokeStyle = colours.offline;
      ctx.beginPath();
      ctx.moveTo(-s * 0.7, -s * 0.7);
      ctx.lineTo(s * 0.7, s * 0.7);
      ctx.moveTo(s * 0.7, -s * 0.7);
      ctx.lineTo(-s * 0.7, s * 0.7);
      ctx.stroke();
      break;
  }
  ctx.restore();
}

export function drawSeverity(ctx: CanvasRenderingContext2D, severity: Severity, p: Point, s: number): void {
  ctx.save();
  ctx.translate(p.x, p.y);
  ctx.lineJoin = 'round';
  ctx.lineWidth = Math.max(1, s * 0.18);
  ctx.strokeStyle = severity === 'notice' ? COLOURS.notice : COLOURS.ink;
  ctx.fillStyle = COLOURS[severity];
  ctx.beginPath();
  if (severity === 'severe') {
    ctx.moveTo(0, -s * 1.05);
    ctx.lineTo(s, s * 0.75);
    ctx.lineTo(-s, s * 0.75);
    ctx.closePath();
  } else if (severity === 'warning') {
    ctx.moveTo(0, -s);
    ctx.lineTo(s, 0);
    ctx.lineTo(0, s);
    ctx.lineTo(-s, 0);
    ctx.closePath();
  } else ctx.arc(0, 0, s * 0.7, 0, Math.PI * 2);
  if (severity !== 'notice') ctx.fill();
  ctx.stroke();
  if (severity === 'severe') {
    ctx.fillStyle = COLOURS.ink;
    ctx.fillRect(-s * 0.11, -s * 0.45, s * 0.22, s * 0.6);
    ctx.fillRect(-s * 0.11, s * 0.28, s * 0.22, s * 0.22);
  }
  ctx.restore();
}

export interface Scene {
  roads: readonly Road[];
  vehicles: readonly VehicleRow[];
  alerts: readonly AlertRow[];
  sensors: ReadonlyMap<string, Sensor>;
  tick: number;
  /** Half the size of a vehicle, CSS px. */
  size: number;
  roadWidth: number;
}

/** From so many on, vehicles that stand on one spot are one mark with their number. */
const CROWD = 3;

/** Marks that would cover each other, as one with their number; fewer stay where they are. A cell is `cell` px wide. */
export function gather<P extends { p: Point }>(places: readonly P[], cell: number): (P & { n: number })[] {
  const cells = new Map<string, P[]>();
  for (const place of places) {
    const key = `${Math.floor(place.p.x / cell)},${Math.floor(place.p.y / cell)}`;
    const crowd = cells.get(key);
    if (crowd) crowd.push(place);
    else cells.set(key, [place]);
  }
  return [...cells.values()].flatMap((crowd) =>
    crowd.length >= CROWD ? [{ ...(crowd[0] as P), n: crowd.length }] : crowd.map((place) => ({ ...place, n: 1 })));
}

function drawCount(ctx: CanvasRenderingContext2D, n: number, p: Point, s: number): void {
  ctx.save();
  ctx.font = `700 ${Math.round(s * 2.3)}px 'Noto Sans CJK SC', 'Source Han Sans SC', 'Microsoft YaHei', sans-serif`;
  ctx.textBaseline = 'middle';
  ctx.lineJoin = 'round';
  ctx.lineWidth = s * 0.7;
  ctx.strokeStyle = COLOURS.ink;
  ctx.fillStyle = '#ffe0a3';
  ctx.strokeText(String(n), p.x + s * 1.4, p.y);
  ctx.fillText(String(n), p.x + s * 1.4, p.y);
  ctx.restore();
}

const DRAW_ORDER: readonly Shape[] = ['offline', 'stale', 'stopped', 'driving', 'working'];

function isMain(grade: string): boolean {
  return /^(1|一|main|primary|arterial|主)/i.test(grade);
}

export function drawScene(ctx: CanvasRenderingContext2D, scene: Scene, project: Project, width: number, height: number): void {
  const margin = 40;
  const inside = (p: Point) => p.x > -margin && p.y > -margin && p.x < width + margin && p.y < height + margin;

  ctx.lineCap = 'round';
  ctx.lineJoin = 'round';
  for (const main of [false, true]) {
    ctx.beginPath();
    for (const road of scene.roads) {
      if (isMain(road.grade) !== main) continue;
      road.line.forEach((at, i) => {
        const p = project(at, road.district);
        if (i === 0) ctx.moveTo(p.x, p.y);
        else ctx.lineTo(p.x, p.y);
      });
    }
    ctx.strokeStyle = main ? COLOURS.mainRoad : COLOURS.road;
    ctx.lineWidth = scene.roadWidth * (main ? 1.5 : 1);
    ctx.stroke();
  }

  const places: { shape: Shape; p: Point; heading: number }[] = [];
  for (const vehicle of scene.vehicles) {
    const p = project([vehicle.lon, vehicle.lat], vehicle.district);
    if (inside(p)) places.push({ shape: shapeOf(vehicle, scene.tick), p, heading: vehicle.heading ?? 0 });
  }
  for (const shape of DRAW_ORDER) {
    const here = places.filter((place) => place.shape === shape);
    const crowds = shape === 'working' || shape === 'driving' ? here.map((place) => ({ ...place, n: 1 })) : gather(here, scene.size * 2);
    for (const { p, heading, n } of crowds) {
      drawShape(ctx, shape, p, heading, scene.size);
      if (n >= CROWD) drawCount(ctx, n, p, scene.size);
    }
  }

  // The worst are drawn last, on top.
  for (const severity of ['notice', 'warning', 'severe'] as const) {
    for (const alert of scene.alerts) {
      if (alert.severity !== severity) continue;
      const at = scene.sensors.get(alert.target)?.at;
      if (!at) continue;
      const p = project(at, alert.district);
      if (!inside(p)) continue;
      if (severity === 'severe' && alert.state === 'open') {
        ctx.fillStyle = 'rgba(255,107,74,0.22)';
        ctx.beginPath();
        ctx.arc(p.x, p.y, scene.size * 3.2, 0, Math.PI * 2);
        ctx.fill();
      }
      drawSeverity(ctx, severity, p, scene.size * (severity === 'severe' ? 1.7 : severity === 'warning' ? 1.3 : 1.0));
    }
  }
}

/** Fits a canvas to its element and the screen's pixels; returns its context in CSS px, cleared. */
export function prepare(canvas: HTMLCanvasElement): CanvasRenderingContext2D | null {
  const { clientWidth: width, clientHeight: height } = canvas;
  const ratio = Math.min(devicePixelRatio || 1, 3);
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
  }
  const ctx = canvas.getContext('2d');
  ctx?.setTransform(ratio, 0, 0, ratio, 0, 0);
  ctx?.clearRect(0, 0, width, height);
  return ctx;
}

/** A town: the middle of a district's roads and how far they reach, in degrees of latitude. */
export interface Town {
  centre: [number, number];
  reach: number;
  /** Share of the roads of the town that has the most, 0..1. */
  weight: number;
}

export function townsOf(roads: readonly Road[]): Map<string, Town> {
  const points = new Map<string, [number, number][]>();
  for (const road of roads) {
    const list = points.get(road.district) ?? [];
    list.push(...road.line);
    points.set(road.district, list);
  }
  const towns = new Map<string, Town>();
  const most = Math.max(1, ...[...points.values()].map((list) => list.length));
  for (const [district, list] of points) {
    const middle = (i: 0 | 1) => (Math.min(...list.map((p) => p[i])) + Math.max(...list.map((p) => p[i]))) / 2;
    const centre: [number, number] = [middle(0), middle(1)];
    const squeeze = Math.cos((centre[1] * Math.PI) / 180);
    const reach = Math.max(...list.map((p) => Math.hypot((p[0] - centre[0]) * squeeze, p[1] - centre[1])), 1e-4);
    towns.set(district, { centre, reach, weight: list.length / most });
  }
  return towns;
}

/**
 * Magnifies towns that would be a speck: what lies within a town is drawn `factor` times as far from its middle, so
 * that it reaches as far as `wanted` says, in px. The factor falls to 1 as the map comes closer. What lies outside stays where it is.
 */
export function lens(plain: (at: [number, number]) => Point, towns: ReadonlyMap<string, Town>, wanted: (town: Town) => number): Project {
  const lenses = new Map<string, { centre: Point; factor: number; reach: number }>();
  for (const [district, town] of towns) {
    const centre = plain(town.centre);
    const edge = plain([town.centre[0], town.centre[1] + town.reach]);
    const reach = Math.hypot(edge.x - centre.x, edge.y - centre.y);
    lenses.set(district, { centre, factor: Math.max(1, wanted(town) / Math.max(reach, 0.01)), reach });
  }
  return (at, district) => {
    const p = plain(at);
    const town = district === null ? undefined : lenses.get(district);
    if (!town || town.factor === 1) return p;
    const [dx, dy] = [p.x - town.centre.x, p.y - town.centre.y];
    if (Math.hypot(dx, dy) > town.reach * 1.5) return p;
    return { x: town.centre.x + dx * town.factor, y: town.centre.y + dy * town.factor };
  };
}
