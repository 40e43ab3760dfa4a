// What has been seen since the page was opened, for the lines behind the numbers. Nothing is interpolated or invented.
//
// Bounded: when the buffer is full every second sample goes and the spacing doubles, so it always spans the whole time
// since the page was opened, for weeks, in at most `capacity` samples.

export class Trend {
  readonly times: number[] = [];
  readonly values: (number | null)[] = [];

  constructor(
    private readonly capacity = 512,
    private spacing = 2000,
  ) {}

  /** Takes the value at `tick` if enough time has passed. A tick before the last one starts anew. */
  push(tick: number, value: number | null): void {
    const last = this.times.at(-1);
    if (last !== undefined && tick < last) this.times.length = this.values.length = 0;
    else if (last !== undefined && tick - last < this.spacing) return;
    this.times.push(tick);
    this.values.push(value);
    if (this.times.length > this.capacity) this.thin();
  }

  private thin(): void {
    let kept = 0;
    for (let i = 0; i < this.times.length; i += 2) {
      this.times[kept] = this.times[i] as number;
      this.values[kept] = this.values[i] ?? null;
      kept++;
    }
    this.times.length = this.values.length = kept;
    this.spacing *= 2;
  }
}

/** Trends by scope and name, made when first used. The names are a fixed few and the scopes are the districts. */
export class Trends {
  private readonly trends = new Map<string, Trend>();

  get(scope: string | null, name: string): Trend {
    const key = `${scope ?? ''}/${name}`;
    let trend = this.trends.get(key);
    if (!trend) this.trends.set(key, (trend = new Trend()));
    return trend;
  }
}
