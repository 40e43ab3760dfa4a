// The districts by the metric of the map. A row leads into its district.

import { Index, createMemo } from 'solid-js';
import { districtValues, isBad, rank } from '../../model/select';
import { type Screen, num } from './state';

export function createDistrictValues(screen: Screen) {
  return createMemo(() => {
    const frame = screen.frame();
    if (!frame) return [];
    const ids = frame.districts.map((district) => district.id);
    return districtValues(ids, frame.vehicleCounts, frame.alertCounts, frame.cases);
  });
}

export function Ranking(props: { screen: Screen }) {
  const { t, metric, scope, setScope, placeName } = props.screen;
  const values = createDistrictValues(props.screen);
  const rows = createMemo(() => rank(values(), metric()));
  const greatest = () => Math.max(1, ...rows().map((row) => row.values[metric()] ?? 0));
  return (
    <section class="panel ranking">
      <div class="panel-head">
        <h2>{t('ranking')}</h2>
        <span>{t(`metric.${metric()}`)} · {t('rankHint')}</span>
      </div>
      <ol style={{ '--rows': Math.ceil(rows().length / 2) }}>
        <Index each={rows()}>
          {(row, place) => (
            <li classList={{ chosen: scope() === row().id, bad: isBad(metric()) }}>
              <button type="button" onClick={() => setScope(scope() === row().id ? null : row().id)}>
                <i>{place + 1}</i>
                <span class="name">{placeName(row().id)}</span>
                <span class="bar"><i style={{ width: `${((row().values[metric()] ?? 0) / greatest()) * 100}%` }} /></span>
                <b data-testid={`rank-${row().id}`}>{num(row().values[metric()])}</b>
              </button>
            </li>
          )}
        </Index>
      </ol>
    </section>
  );
}
