-- The reference workload in ClickHouse: what an insert maintains. Numbers in {braces} come from the manifest.
CREATE TABLE sensors (sensor_id String, kind String, district String) ENGINE = Join(ANY, LEFT, sensor_id);
CREATE TABLE roads (id String, district String, mm Int64) ENGINE = Join(ANY, LEFT, id);
CREATE TABLE cells (x Int64, y Int64, id String, lon1 Int64, lat1 Int64, lon2 Int64, lat2 Int64) ENGINE = Join(ALL, INNER, x, y);

-- Records come into tables that keep nothing; views beside them keep what is asked for.
CREATE TABLE telemetry (sensor_id LowCardinality(String), ts Int64, value Float64) ENGINE = Null;
CREATE TABLE positions (ts Int64, lon Float64, lat Float64, working Bool) ENGINE = Null;
CREATE TABLE cases (case_id String, ts Int64, event LowCardinality(String), district String, limit Tuple(amount Float64)) ENGINE = Null;

-- Windows: the distinct readings of each pane, for a reading may come twice.
CREATE TABLE panes (kind LowCardinality(String), district LowCardinality(String), pane Int64,
    readings AggregateFunction(groupUniqArray, Tuple(String, Int64, Int64)))
  ENGINE = AggregatingMergeTree ORDER BY (kind, district, pane);
CREATE MATERIALIZED VIEW panes_of TO panes AS
  SELECT joinGet('sensors', 'kind', sensor_id) AS kind, joinGet('sensors', 'district', sensor_id) AS district,
    intDiv(ts, {step_ms}) * {step_ms} AS pane,
    groupUniqArrayState((toString(sensor_id), ts, toInt64(round(value * 10)))) AS readings
  FROM telemetry GROUP BY kind, district, pane;

-- Swept lengths: the roads of each hour.
CREATE TABLE visits (hour Int64, road String) ENGINE = ReplacingMergeTree ORDER BY (hour, road);
CREATE MATERIALIZED VIEW visits_of TO visits AS
  WITH {k} AS k, away AS (
    SELECT n, any(ts) AS ts, min((mm, id)) AS best
    FROM (
      SELECT n, ts, id, (lon1 - lon) * east AS x1, (lat1 - lat) * k AS y1, (lon2 - lon) * east AS x2, (lat2 - lat) * k AS y2,
        greatest(0., least(1., -(x1 * (x2 - x1) + y1 * (y2 - y1)) / (pow(x2 - x1, 2) + pow(y2 - y1, 2)))) AS t,
        toInt64(round(1000 * sqrt(pow(x1 + t * (x2 - x1), 2) + pow(y1 + t * (y2 - y1), 2)))) AS mm
      FROM (
        SELECT rowNumberInAllBlocks() AS n, ts, toInt64(round(positions.lon * 1e7)) AS lon, toInt64(round(positions.lat * 1e7)) AS lat,
          intDiv(lon, 10000) AS x, intDiv(lat, 10000) AS y, {k} * cos(radians(lat / 1e7)) AS east
        FROM positions WHERE working) AS fixes
      INNER JOIN cells USING (x, y))
    GROUP BY n)
  SELECT DISTINCT intDiv(ts, 3600000) * 3600000 AS hour, best.2 AS road FROM away WHERE best.1 <= {reach_mm};

-- Cases: the last word of each kind of event.
CREATE TABLE last (case_id String, district SimpleAggregateFunction(max, String), deadline SimpleAggregateFunction(max, Int64),
    handled SimpleAggregateFunction(max, Int64), closed SimpleAggregateFunction(max, UInt8))
  ENGINE = AggregatingMergeTree ORDER BY case_id;
CREATE MATERIALIZED VIEW last_of TO last AS
  SELECT case_id, max(district) AS district, max(if(event = 'dispatched', ts + toInt64(round(limit.amount * 3600000)), 0)) AS deadline,
    max(if(event = 'handled', ts, 0)) AS handled, max(event = 'closed') AS closed
  FROM cases GROUP BY case_id;
