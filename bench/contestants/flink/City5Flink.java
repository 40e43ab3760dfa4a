import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.flink.api.common.functions.MapFunction;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink;
import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.annotation.FunctionHint;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;
import org.apache.flink.table.functions.ScalarFunction;
import org.apache.flink.table.functions.TableFunction;
import org.apache.flink.types.Row;

/**
 * Three of the five questions in Flink SQL, streaming mode: swept lengths, cases, windows. What was tuned: ../README.md.
 *
 * Everything runs in one JVM (Flink's local cluster, parallelism 1), so what an answer is is read from maps into which
 * the changelog of each query is folded.
 */
public final class City5Flink {
    static Workload workload;
    static final Map<String, Map<String, String>> ANSWERS = new ConcurrentHashMap<>();

    public static class KindOf extends ScalarFunction {
        public String eval(String sensor) {
            return workload.kindOf.get(sensor);
        }
    }

    public static class DistrictOf extends ScalarFunction {
        public String eval(String id) {
            return workload.districtOf.get(id);
        }
    }

    public static class LengthOf extends ScalarFunction {
        public Long eval(String road) {
            return workload.lengthOf.get(road);
        }
    }

    public static class Nearest extends ScalarFunction {
        public String eval(Double lon, Double lat) {
            return workload.geo.nearest(lon, lat, workload.number("reach_mm"));
        }
    }

    @FunctionHint(output = @DataTypeHint("ROW<start_ms BIGINT>"))
    public static class Windows extends TableFunction<Row> {
        public void eval(Long ts) {
            long step = workload.number("step_ms"), last = Math.floorDiv(ts, step) * step;
            for (long start = last; start > ts - workload.number("window_ms"); start -= step) {
                collect(Row.of(start));
            }
        }
    }

    /** Folds a changelog into the answers; the first `key` columns identify a row. */
    public static class Fold implements MapFunction<Row, Row> {
        private final String name;
        private final int key;

        Fold(String name, int key) {
            this.name = name;
            this.key = key;
        }

        @Override
        public Row map(Row row) {
            List<String> parts = new ArrayList<>();
            for (int i = 0; i < row.getArity(); i++) {
                parts.add(String.valueOf(row.getField(i)));
            }
            Map<String, String> rows = ANSWERS.get(name);
            String id = String.join(",", parts.subList(0, key)), line = String.join(",", parts);
            switch (row.getKind()) {
                case INSERT, UPDATE_AFTER -> rows.put(id, line);
                default -> rows.remove(id, line);
            }
            return row;
        }
    }

    public static void main(String[] args) throws Exception {
        Path input = Path.of(args[0]), output = Path.of(args[1]);
        workload = new Workload(input);
        Configuration settings = new Configuration();
        settings.setString("parallelism.default", "1");
        settings.setString("pipeline.object-reuse", "true");
        settings.setString("table.exec.mini-batch.enabled", "true");
        settings.setString("table.exec.mini-batch.allow-latency", "1 s");
        settings.setString("table.exec.mini-batch.size", "20000");
        settings.setString("table.optimizer.distinct-agg.split.enabled", "false");
        settings.setString("rest.port", "0");
        settings.setString("taskmanager.memory.network.min", "64m");
        settings.setString("taskmanager.memory.network.max", "64m");
        settings.setString("taskmanager.memory.managed.size", "64m");
        StreamExecutionEnvironment env = StreamExecutionEnvironment.createLocalEnvironment(1, settings);
        StreamTableEnvironment table = StreamTableEnvironment.create(env);
        table.createTemporarySystemFunction("kind_of", KindOf.class);
        table.createTemporarySystemFunction("district_of", DistrictOf.class);
        table.createTemporarySystemFunction("length_of", LengthOf.class);
        table.createTemporarySystemFunction("nearest", Nearest.class);
        table.createTemporarySystemFunction("windows", Windows.class);
        String from = " WITH ('connector' = 'filesystem', 'format' = 'json', 'path' = 'file://" + input.toAbsolutePath() + "/";
        table.executeSql("CREATE TEMPORARY TABLE telemetry (sensor_id STRING, ts BIGINT, `value` DOUBLE)" + from + "telemetry.ndjson')");
        table.executeSql("CREATE TEMPORARY TABLE positions (ts BIGINT, lon DOUBLE, lat DOUBLE, working BOOLEAN)" + from + "positions.ndjson')");
        table.executeSql("CREATE TEMPORARY TABLE cases (case_id STRING, ts BIGINT, event STRING, district STRING, `limit` ROW<amount DOUBLE>)"
            + from + "cases.ndjson')");
        long until = workload.number("until_ms");

        answer(table, "windows", "kind,district,start_ms,count,sum_tenths", 3, """
            SELECT kind, district, start_ms, COUNT(*), SUM(tenths)
            FROM (SELECT kind_of(sensor_id) AS kind, district_of(sensor_id) AS district, ts, tenths
                  FROM (SELECT DISTINCT sensor_id, ts, CAST(ROUND(`value` * 10, 0) AS BIGINT) AS tenths FROM telemetry)) AS r,
              LATERAL TABLE(windows(r.ts)) AS w(start_ms)
            GROUP BY kind, district, start_ms""");
        answer(table, "swept", "district,hour_ms,swept_mm,segments", 2, """
            SELECT district_of(road) AS district, hour_ms, SUM(length_of(road)), COUNT(*)
            FROM (SELECT DISTINCT nearest(lon, lat) AS road, ts - MOD(ts, 3600000) AS hour_ms FROM positions WHERE working)
            WHERE road IS NOT NULL GROUP BY district_of(road), hour_ms""");
        answer(table, "cases", "district,open,overdue", 1, """
            SELECT district, COUNT(*) FILTER (WHERE NOT closed),
              COUNT(*) FILTER (WHERE NOT closed AND handled IS NULL AND %d > deadline)
            FROM (SELECT COALESCE(MAX(district), 'unknown') AS district,
                    MAX(CASE WHEN event = 'dispatched' THEN ts + CAST(ROUND(`limit`.amount * 3600000, 0) AS BIGINT) END) AS deadline,
                    MAX(CASE WHEN event = 'handled' THEN ts END) AS handled,
                    COUNT(CASE WHEN event = 'closed' THEN 1 END) > 0 AS closed
                  FROM cases GROUP BY case_id)
            GROUP BY district""".formatted(until));
        env.execute("city-5");
        for (Map.Entry<String, String> header : HEADERS.entrySet()) {
            Workload.answer(output, header.getKey(), header.getValue(), ANSWERS.get(header.getKey()).values());
        }
        workload.done(args[2], "null");
        System.exit(0);
    }

    static final Map<String, String> HEADERS = new ConcurrentHashMap<>();

    static void answer(StreamTableEnvironment table, String name, String header, int key, String sql) {
        ANSWERS.put(name, new ConcurrentHashMap<>());
        HEADERS.put(name, header);
        table.toChangelogStream(table.sqlQuery(sql)).map(new Fold(name, key))
            .returns(Row.class).sinkTo(new DiscardingSink<>());
    }
}
