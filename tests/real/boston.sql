-- Boston's service requests from the city's own files, and what the engine has to say about them.
-- Variables: files (paths), utc_offset_min (of the city's days). Instants are Unix ms.

-- Naive local time. Of the hour that comes twice the first one counts, where DuckDB alone would take the second.
CREATE MACRO local_time(text) AS strptime(nullif(trim(text), ''), '%m/%d/%Y %I:%M:%S %p');
CREATE MACRO in_boston(wall) AS timezone('America/New_York', wall);
CREATE MACRO instant(wall) AS epoch_ms(
    in_boston(wall) - CASE WHEN in_boston(in_boston(wall) - INTERVAL 1 HOUR) = wall THEN INTERVAL 1 HOUR ELSE INTERVAL 0 HOUR END
);
CREATE MACRO city_day(ts) AS make_timestamp((ts + getvariable('utc_offset_min') * 60000) * 1000)::DATE;
CREATE MACRO day_ms() AS 86400000::BIGINT;
-- The first instant of a day of the city.
CREATE MACRO begins(day) AS epoch_ms(day::TIMESTAMP) - getvariable('utc_offset_min') * 60000;

CREATE TABLE rows AS
SELECT DISTINCT
    CASE_ENQUIRY_ID AS case_id,
    coalesce(nullif(trim(neighborhood), ''), 'unknown') AS place,
    instant(local_time(OPEN_DT)) AS opened,
    instant(local_time(TARGET_DT)) AS target,
    instant(local_time(CLOSED_DT)) AS ended
FROM read_csv(getvariable('files'), all_varchar = true, union_by_name = true);

-- The last instant of the log, to which the engine's clock runs: times are whole seconds, and a tick falls on each.
SET VARIABLE until = (SELECT max(greatest(opened, ended)) FROM rows);

-- A target that is not after the opening is none. What was closed before it was opened is open: that came last.
CREATE TABLE requests AS
SELECT
    case_id, place, opened,
    CASE WHEN target > opened THEN target END AS deadline,
    CASE WHEN ended >= opened THEN ended END AS closed,
    coalesce(coalesce(closed, getvariable('until')) > deadline, false) AS late
FROM rows;

-- Each request for the city and for its neighbourhood.
CREATE VIEW counted AS
SELECT 'city' AS scope, 'city' AS id, * FROM requests
UNION ALL
SELECT 'district', place, * FROM requests;

CREATE VIEW days AS
SELECT unnest(generate_series(
    (SELECT city_day(min(opened)) FROM requests), city_day(getvariable('until')), INTERVAL 1 DAY
))::DATE AS day;

-- Opened before the day ends, and not closed before it ends.
CREATE VIEW backlog AS
SELECT scope, id, day::VARCHAR AS day,
    count(*) FILTER (opened < begins(day + 1) AND (closed IS NULL OR closed >= begins(day + 1))) AS open
FROM counted CROSS JOIN days
GROUP BY ALL;

CREATE VIEW shares AS
SELECT scope, id,
    count(*) AS reported,
    count(*) FILTER (closed - opened <= 1 * day_ms()) AS closed_in_1d,
    count(*) FILTER (closed - opened <= 3 * day_ms()) AS closed_in_3d,
    count(*) FILTER (closed - opened <= 7 * day_ms()) AS closed_in_7d,
    count(*) FILTER (closed - opened <= 30 * day_ms()) AS closed_in_30d
FROM counted
GROUP BY ALL;

-- What is still open is late in the month of its deadline, what was closed late in the month of its closing.
CREATE VIEW overdue AS
SELECT scope, id, strftime(city_day(coalesce(closed, deadline)), '%Y-%m') AS month,
    count(*) FILTER (closed IS NULL) AS overdue,
    count(*) FILTER (closed IS NOT NULL) AS handled_overdue,
    handled_overdue AS closed_overdue
FROM counted
WHERE late
GROUP BY ALL;
