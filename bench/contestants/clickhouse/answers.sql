-- windows
SELECT kind, district, start AS start_ms, toInt64(count()) AS count, sum(reading.3) AS sum_tenths
FROM (SELECT kind, district, pane, arrayJoin(groupUniqArrayMerge(readings)) AS reading FROM panes GROUP BY kind, district, pane)
ARRAY JOIN arrayMap(n -> pane - n * {step_ms}, range(toUInt32({window_ms} / {step_ms}))) AS start
GROUP BY kind, district, start;
-- swept
SELECT joinGet('roads', 'district', road) AS district, hour AS hour_ms, sum(joinGet('roads', 'mm', road)) AS swept_mm, count() AS segments
FROM visits FINAL GROUP BY district, hour;
-- cases
SELECT if(district = '', 'unknown', district) AS district, countIf(closed = 0) AS open,
  countIf(closed = 0 AND deadline > 0 AND handled = 0 AND {until_ms} > deadline) AS overdue
FROM (SELECT case_id, max(district) AS district, max(deadline) AS deadline, max(handled) AS handled, max(closed) AS closed FROM last GROUP BY case_id)
GROUP BY district;
