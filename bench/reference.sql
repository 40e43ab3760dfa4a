-- The five questions of city-5 as one batch over everything. Times are Unix ms, lengths mm, values tenths.

-- Identical records twice are one record.
CREATE TABLE reading AS
  SELECT DISTINCT sensor_id, ts, CAST(round(value * 10) AS BIGINT) AS tenths FROM telemetry;
CREATE TABLE sensor AS
  SELECT id AS sensor_id, sensor_kind AS kind, district FROM reference WHERE kind = 'sensor';

-- 1. Alerts. A value holds until the next one. The condition is true from a reading at or above the raise limit for as long
-- as readings stay there; once that has been so for the hold time the alert is raised, whatever comes next, and it lasts
-- until a reading below the clear limit.
CREATE TABLE step AS
  SELECT sensor_id, ts, tenths,
    tenths >= getvariable('raise_tenths') AS high,
    lag(tenths) OVER w >= getvariable('raise_tenths') AS was_high,
    coalesce(lead(ts) OVER w, getvariable('until')) AS until
  FROM reading WINDOW w AS (PARTITION BY sensor_id ORDER BY ts);
-- Runs of high readings: from the first to the reading that ends it, which itself is not high.
CREATE TABLE run AS
  SELECT sensor_id, min(ts) AS first, max(until) AS until
  FROM (SELECT *, sum(CASE WHEN high AND NOT coalesce(was_high, false) THEN 1 ELSE 0 END)
          OVER (PARTITION BY sensor_id ORDER BY ts) AS n FROM step)
  WHERE high GROUP BY sensor_id, n;
-- Each run that lasts long enough would raise; the alert it raises or belongs to ends at the first low reading after.
CREATE TABLE ending AS
  SELECT r.sensor_id, r.first + getvariable('hold_ms') AS raised, e.ts AS cleared
  FROM (SELECT * FROM run WHERE until - first >= getvariable('hold_ms')) r
  ASOF LEFT JOIN (SELECT sensor_id, ts FROM reading WHERE tenths < getvariable('clear_tenths')) e
    ON r.sensor_id = e.sensor_id AND r.first + getvariable('hold_ms') <= e.ts;
-- Runs that begin while an alert lasts belong to it: those that end with the same reading are one alert.
CREATE TABLE alert AS
  SELECT sensor_id, min(raised) AS raised, cleared FROM ending GROUP BY sensor_id, cleared;
CREATE VIEW alerts_answer AS
  SELECT sensor_id AS sensor, raised AS raised_ms, cleared AS cleared_ms FROM alert;

-- 2. Swept length: the segments that were the nearest of a working fix, at most the reach away, in each hour.
CREATE TABLE segment AS
  SELECT id, district,
    CAST(round(geometry.coordinates[1][1] * 1e7) AS BIGINT) AS lon1, CAST(round(geometry.coordinates[1][2] * 1e7) AS BIGINT) AS lat1,
    CAST(round(geometry.coordinates[2][1] * 1e7) AS BIGINT) AS lon2, CAST(round(geometry.coordinates[2][2] * 1e7) AS BIGINT) AS lat2
  FROM reference WHERE kind = 'road';
CREATE TABLE road AS
  SELECT *, CAST(round(1000 * sqrt(
    pow((lon2 - lon1) * cos(radians((lat1 + lat2) / 2e0 / 1e7)) * getvariable('k'), 2) + pow((lat2 - lat1) * getvariable('k'), 2))) AS BIGINT) AS mm
  FROM segment;
-- Candidates by cells of about a hundred metres.
CREATE TABLE cell AS
  SELECT id, lon1, lat1, lon2, lat2, unnest(range((least(lon1, lon2) - 5000) // 10000, (greatest(lon1, lon2) + 5000) // 10000 + 1)) AS x,
    (least(lat1, lat2) - 5000) // 10000 AS y1, (greatest(lat1, lat2) + 5000) // 10000 AS y2 FROM road;
CREATE TABLE cells AS SELECT id, lon1, lat1, lon2, lat2, x, unnest(range(y1, y2 + 1)) AS y FROM cell;
CREATE TABLE fix AS
  SELECT row_number() OVER () AS n, *, lon // 10000 AS x, lat // 10000 AS y, getvariable('k') * cos(radians(lat / 1e7)) AS east
  FROM (SELECT DISTINCT vehicle_id, ts, CAST(round(lon * 1e7) AS BIGINT) AS lon, CAST(round(lat * 1e7) AS BIGINT) AS lat
        FROM positions WHERE working);
CREATE TABLE visit AS
  WITH near AS (
    SELECT n, ts, id, (lon1 - lon) * east AS x1, (lat1 - lat) * getvariable('k') AS y1,
      (lon2 - lon) * east AS x2, (lat2 - lat) * getvariable('k') AS y2
    FROM fix JOIN cells USING (x, y)),
  along AS (
    SELECT *, greatest(0e0, least(1e0, -(x1 * (x2 - x1) + y1 * (y2 - y1)) / (pow(x2 - x1, 2) + pow(y2 - y1, 2)))) AS t FROM near),
  away AS (
    SELECT n, ts, id, CAST(round(1000 * sqrt(pow(x1 + t * (x2 - x1), 2) + pow(y1 + t * (y2 - y1), 2))) AS BIGINT) AS mm FROM along),
  nearest AS (
    SELECT n, any_value(ts) AS ts, min({'mm': mm, 'id': id}) AS best FROM away GROUP BY n)
  SELECT DISTINCT best.id AS id, ts // 3600000 * 3600000 AS hour FROM nearest WHERE best.mm <= getvariable('reach_mm');
CREATE TABLE swept AS
  SELECT district, hour, sum(mm)::BIGINT AS mm, count(*) AS segments FROM visit JOIN road USING (id) GROUP BY district, hour;
CREATE VIEW swept_answer AS
  SELECT district, hour AS hour_ms, mm AS swept_mm, segments FROM swept;

-- 3. Open and overdue cases per district of their report.
CREATE TABLE cas AS
  SELECT case_id, max(district) AS district,
    max(CASE WHEN event = 'dispatched' THEN ts + CAST(round(c.limit.amount * 3600000) AS BIGINT) END) AS deadline,
    max(CASE WHEN event = 'handled' THEN ts END) AS handled, bool_or(event = 'closed') AS closed
  FROM cases c GROUP BY case_id;
CREATE TABLE casecount AS
  SELECT coalesce(district, 'unknown') AS district, count(*) FILTER (NOT closed) AS open,
    count(*) FILTER (NOT closed AND handled IS NULL AND getvariable('until') > deadline) AS overdue
  FROM cas GROUP BY 1;
CREATE VIEW cases_answer AS SELECT district, open, overdue FROM casecount;

-- 4. Sliding windows per kind and district.
CREATE TABLE win AS
  SELECT kind, district, start, count(*) AS n, sum(tenths)::BIGINT AS tenths
  FROM (SELECT kind, district, tenths,
          unnest(range((ts // getvariable('step_ms') - getvariable('window_ms') // getvariable('step_ms') + 1) * getvariable('step_ms'),
            ts + 1, getvariable('step_ms'))) AS start
        FROM reading JOIN sensor USING (sensor_id))
  GROUP BY kind, district, start;
CREATE VIEW windows_answer AS
  SELECT kind, district, start AS start_ms, n AS count, tenths AS sum_tenths FROM win;

-- 5. The score of each district that has roads.
CREATE VIEW scores_answer AS
  WITH parts AS (
    SELECT district, sum(mm)::BIGINT AS network,
      coalesce((SELECT count(*) FROM alert JOIN sensor USING (sensor_id) WHERE sensor.district = d.district AND cleared IS NULL), 0) AS active,
      coalesce((SELECT sum(open) FROM casecount c WHERE c.district = d.district), 0)::BIGINT AS open,
      coalesce((SELECT sum(overdue) FROM casecount c WHERE c.district = d.district), 0)::BIGINT AS overdue,
      coalesce((SELECT sum(mm) FROM swept s WHERE s.district = d.district), 0)::BIGINT AS swept,
      coalesce((SELECT count(*) FROM swept s WHERE s.district = d.district), 0)::BIGINT AS hours,
      coalesce((SELECT count(*) FROM win w WHERE w.district = d.district), 0)::BIGINT AS windows,
      coalesce((SELECT count(*) FROM win w WHERE w.district = d.district AND w.tenths >= getvariable('hot_tenths') * w.n), 0)::BIGINT AS hot
    FROM road d GROUP BY district)
  SELECT district,
    getvariable('points0') * (getvariable('alerts_full') - least(active, getvariable('alerts_full'))) // getvariable('alerts_full')
    + getvariable('points1') - getvariable('points1') * overdue // greatest(open, 1)
    + getvariable('points2') * least(swept, network * hours) // greatest(network * hours, 1)
    + getvariable('points3') - getvariable('points3') * hot // greatest(windows, 1) AS score_hundredths
  FROM parts;
